//! Judges the cache: Redis answers, and what a rollback means for what is in it.

use crate::domain::cache::too_old;
use crate::domain::checklist::{Mark, Verdict};
use crate::domain::checks::unasked;
use crate::domain::gateway::CacheInfo;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// Judges the cache.
pub fn cache(info: &Result<CacheInfo, Trouble>) -> Verdict {
    let info = match info {
        Ok(info) => info,
        Err(trouble) if trouble.kind == TroubleKind::Unreachable => {
            return Verdict::new(Mark::Failed, trouble.sentence());
        }
        Err(trouble) => return unasked(trouble),
    };
    if !info.pong {
        return Verdict::new(
            Mark::Failed,
            say!("{} {} does not answer PING with PONG", info.product.word(), info.version),
        );
    }
    let mut verdict = Verdict::new(Mark::Ticked, say!("{} {} answers", info.product.word(), info.version));
    if let Some(keys) = info.keys {
        verdict = verdict.and(say!("{} keys in the database", keys));
    }
    if let Some(warning) = too_old(info.product, info.version.as_str()) {
        verdict = verdict.and(say!("warning: {}", warning));
    }
    verdict.and(Clean::ours(
        "if the newer version changed the structure of cache keys, clear the response cache (`:`); never flush: unwritten spend lies in the same Redis",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cache::Product;
    use crate::domain::checks::testing::{expect, trouble};

    #[test]
    fn the_cache_is_judged_by_its_answer() {
        let redis = |version, pong| {
            Ok(CacheInfo { product: Product::Redis, version: Clean::ours(version), keys: Some(12), pong })
        };
        let rows = [
            ("new", redis("7.2.4", true), Mark::Ticked, "Redis 7.2.4 answers | 12 keys in the database | if the newer"),
            ("old", redis("6.2.14", true), Mark::Ticked, "warning: LiteLLM asks for Redis 7 or later"),
            ("odd version", redis("unstable", true), Mark::Ticked, "never flush"),
            ("no pong", redis("7.2.4", false), Mark::Failed, "does not answer PING"),
            ("not configured", Err(trouble(TroubleKind::Missing)), Mark::NotConfigured, "it broke"),
            ("down", Err(trouble(TroubleKind::Unreachable)), Mark::Failed, "it broke; mend it"),
            ("our password", Err(trouble(TroubleKind::Unauthenticated)), Mark::Unknown, "mend it"),
        ];
        for (name, info, mark, words) in rows {
            let verdict = cache(&info);
            expect(name, &verdict, mark, words);
            assert_eq!(
                verdict.evidence.iter().any(|words| words.as_str().contains("warning")),
                name == "old",
                "{name}"
            );
        }
    }
}
