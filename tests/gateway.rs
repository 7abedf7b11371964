//! The gateway adapter against a real socket: LiteLLM old and new, ill, mute, and not LiteLLM at all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]
#![allow(missing_docs, reason = "a test is read from its names")]

mod support {
    pub mod litellm;
}

use std::time::{Duration, Instant};

use lastgood::domain::checklist::Mark;
use lastgood::domain::checks;
use lastgood::domain::gateway::{AdminUi, Vitals};
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::{Gate, Secret};
use lastgood::world::Gateway;
use lastgood::world::litellm::LiteLlm;
use serde_json::json;
use support::litellm::{Age, Fake, KEY, PLANTED, Says, hasty};

fn gateway(fake: &Fake) -> LiteLlm {
    LiteLlm::new(fake.url(), Some(Secret::new(KEY)), Gate::default()).expect("a gateway")
}

/// A gateway whose server gives one other answer, asked without patience.
async fn ill(path: &'static str, says: Says) -> (Fake, LiteLlm) {
    let fake = Fake::start(Age::New, vec![(path, says)]).await;
    let gateway = gateway(&fake).with_patience(hasty());
    (fake, gateway)
}

#[track_caller]
fn is(trouble: &Trouble, kind: TroubleKind, words: &str) {
    assert_eq!(trouble.kind, kind, "{trouble:?}");
    assert!(trouble.what.as_str().contains(words), "{trouble:?} lacks {words:?}");
    assert!(!trouble.remedy.is_empty(), "{trouble:?}");
    assert!(!trouble.what.as_str().contains('\n'), "{trouble:?}");
}

#[tokio::test]
async fn both_ages_tell_their_vitals_and_version() {
    for (age, version, wanted) in [(Age::Old, "1.74.15", "main-v1.74.15-stable"), (Age::New, "1.106.2", "v1.106.2")] {
        let fake = Fake::start(age, vec![]).await;
        let vitals = gateway(&fake).vitals().await;
        let told = vitals.as_ref().expect("vitals");
        assert_eq!(told.liveliness, Ok(200));
        assert_eq!(told.version.as_ref().map(|version| version.as_str()), Some(version));
        assert_eq!(told.allows_requests_without_db, None);
        let health = Ok(gateway(&fake).model_health().await.expect("counts"));
        let verdict = checks::health(&vitals, Some(&health), true, Some(&wanted.parse().expect("a version")));
        assert_eq!(verdict.mark, Mark::Ticked, "{verdict:?}");
    }
}

#[tokio::test]
async fn the_key_goes_only_where_it_is_needed() {
    let fake = Fake::start(Age::New, vec![]).await;
    gateway(&fake).vitals().await.expect("vitals");
    gateway(&fake).admin_ui().await.expect("a finding");
    let public = |path: &str| {
        path.starts_with("/ui")
            || path.contains("/_next/")
            || matches!(path, "/health/liveliness" | "/health/readiness")
    };
    let seen = fake.seen();
    assert!(seen.iter().any(|request| public(&request.path)) && seen.iter().any(|request| !public(&request.path)));
    for request in seen {
        assert_eq!(request.authorization.is_none(), public(&request.path), "{request:?}");
    }
}

#[tokio::test]
async fn no_redirect_takes_the_key_elsewhere() {
    let other = Fake::start(Age::New, vec![]).await;
    for path in ["/v1/models", "/ui/", "/health"] {
        let (_fake, gateway) = ill(path, Says::Redirects(format!("{}login", other.url()))).await;
        match path {
            "/v1/models" => {
                is(&gateway.settings().await.unwrap_err(), TroubleKind::Invalid, "redirects to another host")
            }
            "/health" => {
                is(&gateway.model_health().await.unwrap_err(), TroubleKind::Invalid, "redirects to another host")
            }
            _ => {
                let page = gateway.admin_ui().await.expect("a finding").page.unwrap_err();
                assert!(page.as_str().contains("redirects to another host"), "{page}");
            }
        }
    }
    assert!(other.seen().is_empty(), "{:?}", other.seen());
}

#[tokio::test]
async fn settings_are_read_as_far_as_they_are_shown() {
    let fake = Fake::start(Age::New, vec![]).await;
    let settings = gateway(&fake).settings().await.expect("settings");
    let models: Vec<_> = settings.models.iter().map(|model| model.as_str()).collect();
    assert_eq!(models, ["gpt-4o"]);
    let callbacks = settings.callbacks.expect("callbacks");
    assert_eq!(callbacks.len(), 2, "{callbacks:?}");
    assert_eq!((settings.disable_spend_logs, settings.batch_write_seconds), (None, None));
    let findings = checks::BillingFindings { configured: true, callbacks: Some(&callbacks), ..Default::default() };
    assert_eq!(checks::billing(&findings).mark, Mark::Unknown);
}

#[tokio::test]
async fn a_completion_is_small_unique_and_dated_by_the_gateway() {
    let fake = Fake::start(Age::New, vec![]).await;
    let gateway = gateway(&fake);
    let model: lastgood::domain::name::ModelName = "gpt-4o".parse().expect("a name");
    for _ in 0..2 {
        let completion = gateway.complete(model.clone()).await.expect("an answer");
        assert_eq!(completion.id.as_str(), "chatcmpl-7d1");
        assert_eq!(completion.cost.expect("a cost").as_str(), "1.35e-05");
        assert_eq!(completion.version.expect("a version").as_str(), "1.106.2");
        let date: jiff::Timestamp = "2026-11-21T01:42:23Z".parse().expect("a date");
        let before = date.duration_since(completion.dated.expect("a date"));
        assert!(!before.is_negative() && before < jiff::SignedDuration::from_secs(5), "{before}");
    }
    assert!(fake.seen().iter().all(|request| request.method == "POST"), "{:?}", fake.seen());
    let bodies: Vec<serde_json::Value> =
        fake.seen().iter().map(|request| serde_json::from_str(&request.body).expect("JSON")).collect();
    assert_eq!(bodies[0]["max_tokens"], 1);
    assert_eq!(bodies[0]["model"], "gpt-4o");
    assert_ne!(bodies[0]["messages"], bodies[1]["messages"], "a cache would answer the second");
}

#[tokio::test]
async fn the_admin_ui_is_page_asset_keys_and_teams() {
    for (age, teams) in [(Age::Old, 2), (Age::New, 7)] {
        let fake = Fake::start(age, vec![]).await;
        let found = gateway(&fake).admin_ui().await.expect("a finding");
        assert_eq!((&found.page, &found.keys, &found.teams), (&Ok(200), &Ok(41), &Ok(teams)));
        let (path, status) = found.asset.clone().expect("an asset");
        assert_eq!((path.as_str(), status), ("/litellm-asset-prefix/_next/static/chunks/webpack-1.js", Ok(200)));
        assert_eq!(checks::admin_ui(&Ok(found)).mark, Mark::Ticked);
    }
}

#[tokio::test]
async fn an_ill_admin_ui_is_seen() {
    let asset = "/litellm-asset-prefix/_next/static/chunks/webpack-1.js";
    let broken = json!({"error": {"message": "The column `LiteLLM_VerificationToken.budget_fallbacks` does not exist in the current database.", "code": "500"}});
    let judge = |found: AdminUi| checks::admin_ui(&Ok(found));
    let rows = [
        (asset, Says::Json(404, json!({"detail": "Not Found"})), Mark::Failed, "webpack-1.js answers 404"),
        ("/ui/", Says::Redirects("/ui/".into()), Mark::Failed, "redirects in circles"),
        ("/ui/", Says::Text(200, "text/html", "<h1>blank</h1>".into()), Mark::Unknown, "names no asset"),
        ("/key/list", Says::Json(500, broken.clone()), Mark::Failed, "budget_fallbacks"),
        ("/key/list", Says::Json(401, broken), Mark::Failed, "budget_fallbacks"),
        ("/key/list", Says::Json(403, json!({"detail": {"error": "admins only"}})), Mark::Unknown, "admins only"),
        ("/v2/team/list", Says::Json(200, json!({"teams": []})), Mark::Failed, "has no count"),
    ];
    for (path, says, mark, words) in rows {
        let (_fake, gateway) = ill(path, says).await;
        let verdict = judge(gateway.admin_ui().await.expect("a finding"));
        assert_eq!(verdict.mark, mark, "{path}: {verdict:?}");
        assert!(format!("{:?}", verdict.evidence).contains(words), "{path}: {verdict:?} lacks {words}");
    }
}

#[tokio::test]
async fn ill_vitals_are_facts_not_troubles() {
    let draining = || Says::Json(503, json!({"status": "shutting_down"}));
    let lost = |status| Says::Json(status, json!({"status": "healthy", "db": "disconnected"}));
    let old = || Says::Json(503, json!({"detail": format!("Service Unhealthy (db gone, {PLANTED})")}));
    let word =
        |vitals: &Vitals| vitals.readiness.clone().map(|readiness| (readiness.status, readiness.word.to_string()));
    let rows = [
        ("draining", draining(), (503, "shutting_down"), None),
        ("lost", lost(503), (503, "healthy"), Some(false)),
        ("kept in rotation", lost(200), (200, "healthy"), Some(true)),
        ("old", old(), (503, "Service Unhealthy (db gone, sk-[masked])"), None),
    ];
    for (name, says, (status, told), allows) in rows {
        let (_fake, gateway) = ill("/health/readiness", says).await;
        let vitals = gateway.vitals().await.expect("vitals");
        assert_eq!(word(&vitals), Ok((status, told.to_owned())), "{name}");
        assert_eq!(vitals.allows_requests_without_db, allows, "{name}");
        let version = vitals.version.as_ref().map(|version| version.as_str());
        assert_eq!(version, Some("1.106.2"), "{name}: from the details");
        assert_eq!(checks::health(&Ok(vitals), None, true, None).mark, Mark::Failed, "{name}");
    }
}

#[tokio::test]
async fn another_server_is_not_taken_for_litellm() {
    let page = || Says::Text(200, "text/html", "<html>Welcome to nginx!</html>".into());
    for path in ["/health/liveliness", "/health/readiness"] {
        let (_fake, gateway) = ill(path, page()).await;
        let vitals = gateway.vitals().await;
        let verdict = checks::health(&vitals, None, true, None);
        assert_eq!(verdict.mark, Mark::Failed, "{path}: {verdict:?}");
        assert!(verdict.evidence[0].as_str().contains("check that the URL leads to LiteLLM"), "{verdict:?}");
    }
    for says in [page(), Says::Text(200, "application/json", "{\"id\": 3".into())] {
        for path in ["/v1/models", "/health", "/v1/chat/completions"] {
            let (_fake, gateway) = ill(path, says.clone()).await;
            let trouble = match path {
                "/v1/models" => gateway.settings().await.unwrap_err(),
                "/health" => gateway.model_health().await.unwrap_err(),
                _ => gateway.complete("m".parse().expect("a name")).await.unwrap_err(),
            };
            is(&trouble, TroubleKind::Invalid, "answers 200 with what LiteLLM does not answer");
        }
    }
}

#[tokio::test]
async fn two_hundred_with_no_healthy_model_is_a_failure() {
    let none = json!({"healthy_endpoints": [], "unhealthy_endpoints": [{"model": "m", "error": format!("no: {PLANTED}\nat x")}],
        "healthy_count": 0, "unhealthy_count": 1});
    let (_fake, gateway) = ill("/health", Says::Json(200, none)).await;
    let models = gateway.model_health().await;
    let found = models.as_ref().expect("counts");
    assert_eq!((found.status, found.healthy, found.unhealthy), (200, 0, 1));
    assert_eq!(found.first_error.as_ref().map(|why| why.as_str()), Some("m: no: sk-[masked]"));
    let vitals = gateway.vitals().await;
    assert_eq!(checks::health(&vitals, Some(&models), true, None).mark, Mark::Failed);

    let (_fake, gateway) = ill("/health", Says::Json(200, json!({}))).await;
    let found = gateway.model_health().await.expect("counts");
    assert_eq!((found.healthy, found.unhealthy, found.from_background), (0, 0, Some(true)));
}

#[tokio::test]
async fn statuses_lead_to_their_own_next_move() {
    let error = |words: &str| json!({"error": {"message": words, "type": "x", "param": "None", "code": "1"}});
    let rows = [
        (400, error("No connected db."), TroubleKind::Refused, "No connected db."),
        (400, json!({"error": "max_tokens is too large"}), TroubleKind::Invalid, "max_tokens is too large"),
        (401, error("Authentication Error, Invalid proxy server token"), TroubleKind::Unauthenticated, "Invalid proxy"),
        (
            401,
            error("Authentication Error, The table `x` does not exist in the current database."),
            TroubleKind::Refused,
            "The table",
        ),
        (403, json!({"detail": "not yours"}), TroubleKind::Forbidden, "not yours"),
        (404, json!({"detail": "Not Found"}), TroubleKind::NotFound, "answers 404: Not Found"),
        (429, error("No deployments available for selected model"), TroubleKind::Busy, "No deployments available"),
        (500, error("Internal\nTraceback"), TroubleKind::Refused, "answers 500: Internal"),
    ];
    for (status, body, kind, words) in rows {
        let (_fake, gateway) = ill("/v1/chat/completions", Says::Json(status, body)).await;
        is(&gateway.complete("m".parse().expect("a name")).await.unwrap_err(), kind, words);
    }
}

#[tokio::test]
async fn a_wrong_or_absent_key_is_said_so() {
    let fake = Fake::start(Age::New, vec![]).await;
    let wrong = LiteLlm::new(fake.url(), Some(Secret::new("sk-wrong-key-1234")), Gate::default()).expect("a gateway");
    let trouble = wrong.settings().await.unwrap_err();
    is(&trouble, TroubleKind::Unauthenticated, "/v1/models");
    assert!(trouble.remedy.as_str().contains("does not take this key"), "{trouble:?}");
    let none = LiteLlm::new(fake.url(), None, Gate::default()).expect("a gateway");
    let trouble = none.settings().await.unwrap_err();
    assert!(trouble.remedy.as_str().contains("name the gateway's key"), "{trouble:?}");
    let vitals = none.vitals().await.expect("vitals need no key");
    assert_eq!(vitals.version, None);
    for trouble in [trouble, wrong.model_health().await.unwrap_err()] {
        assert!(!format!("{trouble:?}").contains("planted"), "{trouble:?}");
    }
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    for says in [Says::Hangs, Says::Stalls] {
        let begun = Instant::now();
        let (_fake, gateway) = ill("/health/liveliness", says.clone()).await;
        let vitals = gateway.vitals().await.expect("vitals");
        assert!(vitals.liveliness.expect_err("no answer").as_str().contains("no answer within 0.4 s"));
        let (_fake, gateway) = ill("/health", says.clone()).await;
        is(&gateway.model_health().await.unwrap_err(), TroubleKind::Unreachable, "no answer within 0.4 s");
        let (_fake, gateway) = ill("/v1/chat/completions", says).await;
        let trouble = gateway.complete("m".parse().expect("a name")).await.unwrap_err();
        is(&trouble, TroubleKind::Unknown, "was sent and not answered");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let fake = Fake::start(Age::New, vec![("/v1/models", Says::Floods), ("/ui/", Says::Floods)]).await;
    let gateway = gateway(&fake);
    is(&gateway.settings().await.unwrap_err(), TroubleKind::Invalid, "more than 4194304 bytes");
    let page = gateway.admin_ui().await.expect("a finding").page.unwrap_err();
    assert!(page.as_str().contains("more than 16777216 bytes"), "{page}");
}

#[tokio::test]
async fn a_closed_port_is_refused_and_a_wrong_protocol_is_tls() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("its address")
    };
    let url = |text: String| text.parse::<url::Url>().expect("a URL");
    let gateway = |text: String| LiteLlm::new(url(text), None, Gate::default()).expect("a gateway");
    let trouble = gateway(format!("http://{closed}")).complete("m".parse().expect("a name")).await.unwrap_err();
    is(&trouble, TroubleKind::Unreachable, "connection refused");
    let vitals = gateway(format!("http://{closed}")).vitals().await.expect("vitals");
    assert!(vitals.liveliness.expect_err("nobody").as_str().contains("connection refused"));

    let fake = Fake::start(Age::New, vec![]).await;
    let trouble = gateway(format!("https://{}", fake.address)).settings().await.unwrap_err();
    is(&trouble, TroubleKind::Unreachable, "TLS failed");
}

#[tokio::test]
async fn a_path_before_the_gateway_is_kept() {
    let fake = Fake::start(Age::New, vec![]).await;
    let url = fake.url().join("gw/one/").expect("a URL");
    let gateway = LiteLlm::new(url, Some(Secret::new(KEY)), Gate::default()).expect("a gateway");
    gateway.vitals().await.expect("vitals");
    gateway.admin_ui().await.expect("a finding");
    let paths: Vec<_> = fake.seen().into_iter().map(|request| request.path).collect();
    assert!(paths.contains(&"/gw/one/health/liveliness".to_owned()), "{paths:?}");
    assert!(paths.contains(&"/gw/one/key/list?page=1&size=1".to_owned()), "{paths:?}");
    assert!(paths.iter().all(|path| path.starts_with("/gw/one/")), "{paths:?}");
}

#[test]
fn what_is_no_gateway_is_refused_before_anything_is_sent() {
    let refused = |url: &str, key: Option<&str>| {
        let url = url.parse().expect("a URL");
        LiteLlm::new(url, key.map(Secret::new), Gate::default()).err().expect("refused")
    };
    is(&refused("ftp://gateway", None), TroubleKind::Invalid, "is no address of a gateway");
    is(&refused("unix:/run/x", None), TroubleKind::Invalid, "is no address of a gateway");
    is(&refused("https://gateway", Some("sk-1234\n")), TroubleKind::Invalid, "no HTTP header can carry");
    let trouble = refused("https://me:hunter22@gateway", None);
    is(&trouble, TroubleKind::Invalid, "carries credentials");
    assert!(!format!("{trouble:?}").contains("hunter22"));
}

#[tokio::test]
async fn a_planted_secret_comes_out_nowhere() {
    let fake =
        Fake::start(Age::Old, vec![("/v1/models", Says::Text(500, "text/plain", format!("boom {PLANTED} {KEY}")))])
            .await;
    let gateway = gateway(&fake);
    let told = format!(
        "{:?} {:?} {:?} {:?}",
        gateway.vitals().await,
        gateway.model_health().await,
        gateway.settings().await,
        gateway.admin_ui().await
    );
    assert!(told.contains("boom") && told.contains("bad key"), "the words themselves come through: {told}");
    for secret in [PLANTED, KEY] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test]
async fn a_key_without_the_shape_of_one_is_masked_too() {
    let key = "correct-horse-battery";
    let echo = Says::Text(500, "text/plain", format!("boom {key}"));
    let fake = Fake::start(Age::New, vec![("/v1/models", echo)]).await;
    let gateway = LiteLlm::new(fake.url(), Some(Secret::new(key)), Gate::default()).expect("a gateway");
    is(&gateway.settings().await.unwrap_err(), TroubleKind::Refused, "boom [masked]");
}
