//! Reads which package a version of LiteLLM asks for out of its metadata (PEP 508, PEP 440).

use super::{PackageVersion, Pin};

/// The package that carries the migrations.
pub const PACKAGE: &str = "litellm-proxy-extras";

impl Pin {
    /// What the requirements of a version say. `None` where they say it in a way that is not one
    /// of the three that LiteLLM has used.
    pub fn read<'a>(requirements: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let Some(rest) = requirements.into_iter().find_map(of_package) else { return Some(Pin::Nothing) };
        let rest = rest.split(';').next()?.trim().trim_start_matches('(').trim_end_matches(')').trim();
        let mut conditions = rest.split(',').map(str::trim);
        match (conditions.next()?, conditions.next(), conditions.next()) {
            (only, None, _) => only.strip_prefix("==").and_then(version).map(Pin::Exactly),
            (one, Some(other), None) => {
                let (from, below) = if one.starts_with('<') { (other, one) } else { (one, other) };
                let (from, below) = (version(from.strip_prefix(">=")?)?, version(below.strip_prefix('<')?)?);
                Some(Pin::Range { from, below })
            }
            _ => None,
        }
    }
}

/// What follows the package's name, where the requirement is about it.
fn of_package(requirement: &str) -> Option<&str> {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    let (name, rest) = requirement.split_at(end.unwrap_or(requirement.len()));
    let same = name.replace(['_', '.'], "-").eq_ignore_ascii_case(PACKAGE);
    same.then(|| rest.trim_start())
}

/// A version of which trailing zeros may be left out.
fn version(raw: &str) -> Option<PackageVersion> {
    let raw = raw.trim();
    let missing = 2usize.saturating_sub(raw.matches('.').count());
    raw.parse().ok().or_else(|| format!("{raw}{}", ".0".repeat(missing)).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_pin_is_read() {
        let exactly = |raw: &str| Some(Pin::Exactly(raw.parse().unwrap()));
        let range =
            |from: &str, below: &str| Some(Pin::Range { from: from.parse().unwrap(), below: below.parse().unwrap() });
        let rows = [
            ("litellm-proxy-extras (==0.4.23) ; extra == \"proxy\"", exactly("0.4.23")),
            ("litellm-proxy-extras==0.4.84.post1; extra == \"proxy\"", exactly("0.4.84.post1")),
            ("litellm_proxy_extras (>=0.4.56,<0.5) ; extra == \"proxy\"", range("0.4.56", "0.5.0")),
            ("litellm-proxy-extras<0.5.0,>=0.4.62; extra == \"proxy\"", range("0.4.62", "0.5.0")),
            ("litellm-enterprise==0.1.2", Some(Pin::Nothing)),
            ("litellm-proxy-extras-more==0.1.2", Some(Pin::Nothing)),
            ("litellm-proxy-extras", None),
            ("litellm-proxy-extras~=0.4.1", None),
            ("litellm-proxy-extras (>=0.4,!=0.4.2,<0.5)", None),
        ];
        for (raw, expected) in rows {
            assert_eq!(Pin::read(["click (>=8)", raw]), expected, "{raw}");
        }
    }
}
