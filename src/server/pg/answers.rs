//! Functions of the catalog that look their answer up.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// A function that takes any arguments. The text of the first one decides the answer, in any letter case.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Answers {
    name: &'static str,
    signature: Signature,
    /// Answers by the first argument, in lower case.
    known: BTreeMap<String, ScalarValue>,
    otherwise: ScalarValue,
}

impl Answers {
    /// Returns a function with one answer.
    pub fn one(name: &'static str, answer: ScalarValue) -> Self {
        Self::of(name, [], answer)
    }

    /// Returns a function with an answer for each of some arguments. All must be of one type.
    pub fn of(
        name: &'static str,
        known: impl IntoIterator<Item = (String, ScalarValue)>,
        otherwise: ScalarValue,
    ) -> Self {
        let any = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        Self {
            name,
            signature: Signature::one_of(any, Volatility::Stable),
            known: known.into_iter().collect(),
            otherwise,
        }
    }

    fn answer(&self, argument: Option<&str>) -> ScalarValue {
        let known = argument.and_then(|argument| self.known.get(&argument.to_lowercase()));
        known.unwrap_or(&self.otherwise).clone()
    }
}

impl ScalarUDFImpl for Answers {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.otherwise.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(ColumnarValue::Array(arguments)) = args.args.first().filter(|_| !self.known.is_empty()) else {
            let argument = match args.args.first() {
                Some(ColumnarValue::Scalar(value)) if !value.is_null() => Some(value.to_string()),
                _ => None,
            };
            return Ok(ColumnarValue::Scalar(self.answer(argument.as_deref())));
        };
        if arguments.is_empty() {
            return Ok(ColumnarValue::Scalar(self.otherwise.clone()));
        }
        let texts = cast(arguments, &DataType::Utf8)?;
        let answers = texts.as_string::<i32>().iter().map(|text| self.answer(text));
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(answers)?))
    }
}
