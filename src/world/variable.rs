//! What variables of a container say.

use crate::domain::salt::Value;
use crate::text::Clean;

/// Whether a variable says true, where it is set and known. LiteLLM takes `true` in any case for
/// it, and nothing else (`str_to_bool`).
pub(super) fn truth(value: &Value) -> Result<Option<bool>, Clean> {
    match value {
        Value::Known(value) => Ok(Some(value.expose().trim().eq_ignore_ascii_case("true"))),
        Value::Unset => Ok(None),
        Value::Unread(why) | Value::Untold(why) => Err(why.clone()),
    }
}
