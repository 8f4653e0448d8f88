//! Joins the pages of the management API's list into one file.

use serde_json::{Map, Value};

use super::{ServiceTags, ServiceTagsError};

/// The whole list, as JSON.
#[derive(Debug)]
pub struct TagList(Map<String, Value>);

const NO_LIST: ServiceTagsError =
    ServiceTagsError::Form("a page of the answer is not a list of service tags: it has no list 'values'");

impl TagList {
    /// Joins pages: the tags of all, and everything else of the first.
    pub fn of_pages<Page: AsRef<[u8]>>(pages: &[Page]) -> Result<Self, ServiceTagsError> {
        let mut whole: Option<Map<String, Value>> = None;
        for page in pages {
            let Ok(Value::Object(mut page)) = serde_json::from_slice(page.as_ref()) else { return Err(NO_LIST) };
            let Some(Value::Array(tags)) = page.remove("values") else { return Err(NO_LIST) };
            let whole = whole.get_or_insert(page);
            match whole.entry("values").or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(all) => all.extend(tags),
                _ => return Err(NO_LIST),
            }
        }
        let mut whole = whole.ok_or(NO_LIST)?;
        // The path of the subscription, and the way to the next page, are not for a file.
        whole.remove("id");
        whole.remove("nextLink");
        Ok(Self(whole))
    }

    /// Returns the name of the cloud in the list.
    pub fn cloud(&self) -> Option<&str> {
        self.0.get("cloud")?.as_str()
    }

    /// Returns the content of a file with the list, under the name `cloud`, and its tags. Fails if the content could
    /// not be read back.
    pub fn into_file(mut self, cloud: &str) -> Result<(Vec<u8>, ServiceTags), ServiceTagsError> {
        self.0.insert("cloud".to_owned(), Value::String(cloud.to_owned()));
        let content = Value::Object(self.0).to_string().into_bytes();
        let tags = ServiceTags::from_json(&content)?;
        Ok((content, tags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_one_file() {
        let page = |name: &str, rest: &str| {
            format!(
                r#"{{"cloud": "AzureChinaCloud", "changeNumber": "7", "id": "/subscriptions/s", "nextLink": "n", "values": [
                {{"name": "{name}", "properties": {{"addressPrefixes": ["192.0.2.0/28"]}}}}]{rest}}}"#
            )
        };
        let list = TagList::of_pages(&[page("Sql", ""), page("Storage", r#", "name": "x""#)]).expect("a list");
        assert_eq!(list.cloud(), Some("AzureChinaCloud"));
        let (content, tags) = list.into_file("China").expect("a file");
        assert_eq!((tags.cloud.as_deref(), tags.change_number, tags.len()), (Some("China"), Some(7), 2));
        let content = String::from_utf8(content).expect("UTF-8");
        assert!(!content.contains("nextLink") && !content.contains("subscriptions"), "{content}");
        for pages in [&[][..], &["[]"], &[r#"{"values": {}}"#], &[r#"{"error": {"code": "X"}}"#]] {
            assert!(TagList::of_pages(pages).is_err(), "{pages:?}");
        }
        let empty = TagList::of_pages(&[r#"{"values": []}"#]).expect("a list").into_file("Public");
        assert!(empty.is_err_and(|error| error.to_string().contains("lists no addresses")));
    }
}
