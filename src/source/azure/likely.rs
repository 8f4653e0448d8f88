//! The likely causes of a refusal that a service explains in the same words for every credential.

/// Kind of credential that a request carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum Used {
    Signature,
    Key,
    Token,
    Nothing,
}

impl Used {
    /// Returns the causes of an error text, the likeliest first, and what to do. `None` if the text itself is clear.
    pub(in crate::source) fn cause(self, text: &str) -> Option<&'static str> {
        let is_vague = ["AuthorizationFailure", "This request is not authorized to perform this operation"]
            .iter()
            .any(|sign| text.contains(sign))
            && !text.contains("AuthorizationFailurePermission");
        if self == Self::Key && text.contains("AuthenticationFailed") {
            return Some("the account key is wrong or was rotated: copy it again from the account's access keys");
        }
        is_vague.then_some(match self {
            Self::Signature => {
                "the SAS lacks read and list or is damaged, or the account's firewall blocks this network: copy all of the SAS again, or allow this network under Networking"
            }
            Self::Key => {
                "the account key is wrong or was rotated, or the account's firewall blocks this network: copy the key again from the account's access keys, or allow this network under Networking"
            }
            Self::Token => {
                "the account's firewall blocks this network: allow this network under Networking, or run in a network that may reach the account"
            }
            Self::Nothing => {
                "the container does not allow anonymous access, or the account's firewall blocks this network: sign in, or allow this network under Networking"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_in_hand_comes_first() {
        let refused = "status code: 403: <Code>AuthorizationFailure</Code>";
        for (used, first) in [
            (Used::Signature, "the SAS "),
            (Used::Key, "the account key is wrong"),
            (Used::Token, "the account's firewall"),
            (Used::Nothing, "the container does not allow anonymous access"),
        ] {
            assert!(used.cause(refused).is_some_and(|cause| cause.starts_with(first)), "{used:?}");
            assert_eq!(used.cause("status code: 403: <Code>AuthorizationPermissionMismatch</Code>"), None);
        }
        assert!(Used::Key.cause("<Code>AuthenticationFailed</Code>").is_some());
    }
}
