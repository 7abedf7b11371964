//! The gate from outside: what it masks, what it must leave alone, and what holds for any text.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use base64::Engine as _;
use lastgood::text::{Gate, MASK, Secret};
use proptest::prelude::*;

fn scrubbed(outside: &str) -> String {
    Gate::default().scrub(outside)
}

#[test]
fn secrets_are_masked_and_what_stands_around_them_is_kept() {
    let aws = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let rows = [
        // headers
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [masked]"),
        ("Authorization: Token abcdef0123456789", "Authorization: Token [masked]"),
        ("Authorization: abcdef0123456789", "Authorization: [masked]"),
        ("authorization: Custom abcdef0123456789 x", "authorization: Custom [masked] x"),
        ("{'authorization': 'Bearer abcdef123456', 'n': 1}", "{'authorization': 'Bearer [masked]', 'n': 1}"),
        ("curl -H 'x: Bearer abcdef123456' ok", "curl -H 'x: Bearer [masked]' ok"),
        ("Authorization: Basic dXNlcjpodW50ZXIy", "Authorization: Basic [masked]"),
        ("with Basic dXNlcjpodW50ZXIy sent", "with Basic [masked] sent"),
        ("Ocp-Apim-Subscription-Key: 0123abcd4567", "Ocp-Apim-Subscription-Key: [masked]"),
        ("x-api-key: abc123def, x-request-id: 7", "x-api-key: [masked], x-request-id: 7"),
        ("api-key: abc123def", "api-key: [masked]"),
        ("Set-Cookie: session=abc; Path=/", "Set-Cookie: [masked]"),
        ("cookie: token=eyJhbGciOi.eyJzdWIiOiI.sig-_1; a=b", "cookie: [masked]"),
        ("{'cookie': 'token=abc', 'n': 1}", "{'cookie': '[masked]', 'n': 1}"),
        // URLs
        ("postgresql://llm:p%40ss/w@rd@db:5432/x down", "postgresql://llm:[masked]@db:5432/x down"),
        ("postgresql://llm@corp:pw@db:5432/x?a=b@c", "postgresql://llm@corp:[masked]@db:5432/x?a=b@c"),
        ("redis://:hunter2@cache:6379", "redis://:[masked]@cache:6379"),
        ("https://ghp0123@host/x", "https://[masked]@host/x"),
        ("https://u:pa/ss@host/x", "https://u:[masked]@host/x"),
        (r#"{"url":"postgres://u:p@h/db","e":"x@y"}"#, r#"{"url":"postgres://u:[masked]@h/db","e":"x@y"}"#),
        (r#"{"m":"{\"url\":\"postgres://u:p@h/db\"}"}"#, r#"{"m":"{\"url\":\"postgres://u:[masked]@h/db\"}"}"#),
        (r"postgres:\/\/u:p@h\/db", r"postgres:\/\/u:[masked]@h\/db"),
        ("url=postgres%3A%2F%2Fu%3Ahunter2%40h%2Fdb&x=1", "url=postgres%3A%2F%2Fu%3A[masked]%40h%2Fdb&x=1"),
        (
            "https://x.blob.core.windows.net/c?sv=2022&sig=ab%2Fc&x=1",
            "https://x.blob.core.windows.net/c?sv=2022&sig=[masked]&x=1",
        ),
        ("GET /v1?key=abcdef&alt=json", "GET /v1?key=[masked]&alt=json"),
        // tokens that say what they are
        ("key sk-1234 used", "key sk-[masked] used"),
        ("id AKIAABCDEFGHIJKLMNOP", "id AKIA[masked]"),
        ("jwt eyJhbGciOi.eyJzdWIiOiI.sig-_1", "jwt [masked]"),
        ("groq gsk_abcdefghij0123456789 x", "groq gsk_[masked] x"),
        ("xai-abcdefghij0123456789abcd", "xai-[masked]"),
        ("pplx-abcdefghij0123456789abcdefgh", "pplx-[masked]"),
        ("nvapi-abcdefghij0123456789_-", "nvapi-[masked]"),
        ("r8_abcdefghij0123456789", "r8_[masked]"),
        ("dapi0123456789abcdef0123456789abcdef", "dapi[masked]"),
        ("AIzaSyA0123456789abcdefghijklmno", "AIza[masked]"),
        // assignments
        ("LITELLM_SALT_KEY=so-salty end", "LITELLM_SALT_KEY=[masked] end"),
        ("LITELLM_LICENSE=ey-something end", "LITELLM_LICENSE=[masked] end"),
        ("OPENAI_KEY=abc123", "OPENAI_KEY=[masked]"),
        ("password='my secret pw' host=x", "password='[masked]' host=x"),
        (r#"password="a \" b" host=x"#, r#"password="[masked]" host=x"#),
        ("DB_PASSWORD=p&ssw0rd,xyz", "DB_PASSWORD=[masked]"),
        ("host=x password=hunter2 dbname=y", "host=x password=[masked] dbname=y"),
        ("Call(api_key=hunter2, model=gpt)", "Call(api_key=[masked], model=gpt)"),
        ("Call(api_key=hunter2,model=gpt)", "Call(api_key=[masked],model=gpt)"),
        ("login user=x pass=hunter2", "login user=x pass=[masked]"),
        ("password: correct horse battery", "password: [masked]"),
        ("  - password: hunter2\n    user: x", "  - password: [masked]\n    user: x"),
        (r#"{"password": "hunter2", "n": 1}"#, r#"{"password": "[masked]", "n": 1}"#),
        (r#"{"m":"{\"password\": \"hunter2\"}"}"#, r#"{"m":"{\"password\": \"[masked]\"}"}"#),
        ("os.environ['OPENAI_API_KEY'] = 'hunter2'", "os.environ['OPENAI_API_KEY'] = '[masked]'"),
        (
            "DefaultEndpointsProtocol=https;AccountKey=ab+/c==;EndpointSuffix=x",
            "DefaultEndpointsProtocol=https;AccountKey=[masked];EndpointSuffix=x",
        ),
        (
            r#"{"private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", "n": 1}"#,
            r#"{"private_key": "[masked]", "n": 1}"#,
        ),
        ("invalid api key: 0a1b2c3d4e", "invalid api key: [masked]"),
        // flags
        ("litellm --master_key hunter2hunter2 --port 4000", "litellm --master_key [masked] --port 4000"),
        ("litellm --master_key=hunter2hunter2 --port 4000", "litellm --master_key=[masked] --port 4000"),
        (r#"args: ["--master_key", "hunter2"]"#, r#"args: ["--master_key", "[masked]"]"#),
        // what the API server says
        (r#"{"name":"DB_PASSWORD","value":"hunter2"}"#, r#"{"name":"DB_PASSWORD","value":"[masked]"}"#),
        (r#"{\"name\":\"DB_PASSWORD\",\"value\":\"hunter2\"}"#, r#"{\"name\":\"DB_PASSWORD\",\"value\":\"[masked]\"}"#),
        (
            r#"core.EnvVar{Name:"DB_PASSWORD", Value:"hunter2", ValueFrom:nil}"#,
            r#"core.EnvVar{Name:"DB_PASSWORD", Value:"[masked]", ValueFrom:nil}"#,
        ),
        ("- name: DB_PASSWORD\n  value: hunter2\n", "- name: DB_PASSWORD\n  value: [masked]\n"),
        // PEM
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nafter", "[masked]\nafter"),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nthe pod was killed",
            "[masked]\nthe pod was killed",
        ),
    ];
    let wrong: Vec<_> = rows.into_iter().filter(|(outside, expected)| scrubbed(outside) != *expected).collect();
    let wrong: Vec<_> = wrong.into_iter().map(|(outside, expected)| (expected, scrubbed(outside))).collect();
    assert!(wrong.is_empty(), "expected and found: {wrong:#?}");
    assert_eq!(scrubbed(&format!("aws_secret_access_key = {aws}")), "aws_secret_access_key = [masked]");
}

#[test]
fn evidence_stays_word_for_word() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let rows = [
        "plain words stay",
        "usage: total_tokens=30 prompt_tokens: 12, completion_tokens_details=None",
        "completion_tokens_details=CompletionTokensDetailsWrapper(accepted_prediction_tokens=None)",
        "max_tokens: 5, token_type: bearer, input_cost_per_token=3e-06",
        "docker-pullable://reg.local:5000/mirror/litellm@sha256:9f86d081884c",
        "docker-pullable://ghcr.io/berriai/litellm:v1.83.10@sha256:9f86d081884c",
        "reg.local:5000/mirror/litellm@sha256:9f86d081884c",
        "https://gw:4000/users?e=bob@corp.com",
        "https://gw:4000/users/bob@corp.com",
        "see https://docs.litellm.ai/docs/proxy/prod#5-set-litellm-salt-key for more",
        "secretName: litellm-db",
        "valueFrom: secretKeyRef name: litellm-db key: url",
        r#"{"secretKeyRef":{"name":"litellm-db","key":"url"}}"#,
        "DATABASE_URL from secret litellm-db key url",
        "basic authentication failed for user bob",
        "Basic authentication is off",
        "bearer of bad news",
        "WWW-Authenticate: Bearer realm=\"x\"",
        "credentials: are missing",
        "credentials: are",
        "invalid api key: check that it is set",
        "invalid token: expired",
        "Error decrypting value for key: OPENAI_API_KEY, Did your master_key/salt key change recently?",
        "api_key: os.environ/OPENAI_API_KEY",
        r#"{"api_key": null, "password": "", "token": true}"#,
        "password=${DB_PASSWORD} key=$(KEY)",
        "password authentication failed for user \"llmproxy\"",
        "'user_api_key_alias': 'team-a', 'user_api_key_user_id': 'bob'",
        "model pplx-70b-online, hf_hub_download, npm_config_cache=/tmp",
        "PWD=/app",
        "curl -H \"Authorization: Bearer $MASTER_KEY\" and api_key=$OPENAI_API_KEY",
        "-----BEGIN CERTIFICATE----- MIIC -----END CERTIFICATE-----",
        "Last State: Terminated, Reason: OOMKilled, exit code 137",
        "monkey=banana keyboard: qwerty",
        "partition_key=5 primary key: id",
    ];
    let wrong: Vec<_> = rows.into_iter().map(|row| (row, scrubbed(row))).filter(|(row, found)| row != found).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let checksum = format!("checksum {digest} of litellm@sha256:{digest}");
    assert_eq!(scrubbed(&checksum), checksum);
}

#[test]
fn a_learnt_secret_is_masked_in_every_encoding() {
    let gate = Gate::default();
    let copy = gate.clone();
    gate.learn(&Secret::new("a-b/c_d.e~f&g\"h i"));
    for form in [
        "a-b/c_d.e~f&g\"h i",
        "a-b%2Fc_d.e~f%26g%22h%20i",
        "a-b%2fc_d.e~f%26g%22h%20i",
        "a%2Db%2Fc%5Fd%2Ee%7Ef%26g%22h%20i",
        "a-b/c_d.e~f&g\\\"h i",
        "a-b/c_d.e~f\\u0026g\\\"h i",
        "a-b\\/c_d.e~f&g\\\"h i",
        "a-b/c_d.e~f\\\\u0026g\\\\\\\"h i",
        "a-b/c_d.e~f&amp;g&quot;h i",
        "a-b%252Fc_d.e~f%2526g%2522h%2520i",
        "YS1iL2NfZC5lfmYmZyJoIGk=",
        "YS1iL2NfZC5lfmYmZyJoIGk",
        "612d622f635f642e657e66266722682069",
    ] {
        assert_eq!(copy.scrub(&format!("<{form}>")), "<[masked]>", "{form}");
    }
    let url = base64::engine::general_purpose::STANDARD.encode("postgres://u:a-b/c_d.e~f&g\"h i@db/x");
    assert_eq!(copy.scrub(&format!("url: {url} end")), "url: [masked] end");
}

#[test]
fn a_key_file_that_is_known_is_masked_line_by_line() {
    let gate = Gate::knowing([Secret::new("first line of the key 0123\nsecond line of the key 4567\n")]);
    assert_eq!(gate.scrub("<second line of the key 4567>"), "<[masked]>");
}

#[test]
fn a_poor_password_does_not_blank_out_the_words_of_the_trade() {
    let gate = Gate::default();
    for word in ["litellm", "Postgres", "prisma", "redis", "password", "admin", "public", "masked"] {
        gate.learn(&Secret::new(word));
    }
    let line = "litellm cannot reach postgres: prisma says public.LiteLLM_X, admin password";
    assert_eq!(gate.scrub(line), line);
    assert_eq!(gate.scrub("postgres://litellm:litellm@db/x"), "postgres://litellm:[masked]@db/x");
    assert_eq!(gate.scrub("PGPASSWORD=litellm psql"), "PGPASSWORD=[masked] psql");
    gate.learn(&Secret::new("tiger7"));
    assert_eq!(gate.scrub("tiger7 in (tiger7), not in tiger77"), "[masked] in ([masked]), not in tiger77");
}

#[test]
fn control_characters_cannot_reach_the_screen() {
    assert_eq!(scrubbed("\u{1b}[2J\u{1b}]0;title\u{7}red\u{1b}[31m\r\nx\tq\u{9b}31m\u{202e}\u{61c}"), "red\nx q31m");
    let gate = Gate::knowing([Secret::new("with\ttab and more")]);
    assert_eq!(gate.scrub("<with\ttab and\u{200b} more>"), "<[masked]>");
}

#[test]
fn words_of_a_command_line_know_their_neighbours() {
    let words = Gate::default().clean_words(["--master_key", "hunter2", "--port", "4000", "--api_key", "--debug"]);
    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    assert_eq!(words, ["--master_key", MASK, "--port", "4000", "--api_key", "--debug"]);
}

fn streamed(lines: &[&str]) -> Vec<String> {
    let mut gate = Gate::default().lines();
    lines.iter().map(|line| gate.clean(line).to_string()).collect()
}

#[test]
fn a_private_key_over_several_lines_is_masked_whole() {
    let full = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let lines = ["a -----BEGIN PRIVATE KEY-----", full, "MIIE", "-----END PRIVATE KEY----- b", "c"];
    assert_eq!(streamed(&lines), ["a [masked]", MASK, MASK, "[masked] b", "c"]);
    assert_eq!(streamed(&["-----BEGIN PRIVATE KEY-----", "INFO between", full, "x"])[1..], ["INFO between", MASK, "x"]);
    let prefixed = format!("2026-11-20 INFO {full}");
    assert_eq!(streamed(&["-----BEGIN PRIVATE KEY-----", &prefixed, "Killed", "Killed"])[1..], [MASK, MASK, "Killed"]);
}

#[test]
fn a_line_that_mentions_a_certificate_does_not_blank_out_the_log() {
    let lines = ["expected -----BEGIN CERTIFICATE-----", "Error: P3009", "MIIC"];
    assert_eq!(streamed(&lines), lines);
    let cut = ["-----BEGIN RSA PRIVATE KEY-----", "Error: P3009 failed", "Error: P3018"];
    assert_eq!(streamed(&cut), [MASK, "Error: P3009 failed", "Error: P3018"]);
    let full = "x".repeat(64);
    let mut endless = vec!["-----BEGIN PRIVATE KEY-----"];
    endless.resize(400, &full);
    assert_eq!(*streamed(&endless).last().unwrap(), full, "no key is that long");
}

/// Text in which the parts of shapes meet: pure chance would never put them together.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[ -~]{0,12}",
        2 => "\\PC{0,6}",
        1 => any::<char>().prop_map(String::from),
        6 => prop::sample::select(vec![
            "password", "api_key", "token", "DB_PASSWORD", "Authorization", "cookie", "--master_key", "name", "value",
            "Bearer ", "Basic ", "=", ": ", "\":\"", "'", "\"", "\\\"", "\\", ",", ";", "&", "{", "}", "[masked]", "[", "]",
            "://", "postgres://u:", "@", "%3A%2F%2F", "%40", "%", "\\u00", "sk-", "sk-abcd", "eyJabcdefgh.abcdefgh", "AKIA",
            "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "-----END PRIVATE KEY-----", "\n", " ", "8Q~", ".", "key", "api ",
        ]).prop_map(String::from),
    ];
    prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

fn secret() -> impl Strategy<Value = String> {
    // Long enough that a text cannot hold it by chance, and not a part of the mask.
    "[A-Za-z0-9!#-/:-@_~ é\"\\\\]{8,24}".prop_filter("not of spaces only", |secret| {
        secret.trim() == secret && secret.bytes().filter(u8::is_ascii_alphanumeric).count() >= 4
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn cleaning_twice_changes_nothing_more(outside in text(), secret in secret()) {
        let gate = Gate::knowing([Secret::new(secret)]);
        let once = gate.scrub(&outside);
        prop_assert_eq!(gate.scrub(&once), once.clone());
        prop_assert!(!once.chars().any(|c| c.is_control() && c != '\n'));
    }

    #[test]
    fn no_learnt_secret_comes_through(before in text(), secret in secret(), behind in text(), layers in 0..3_usize) {
        let gate = Gate::knowing([Secret::new(secret.as_str())]);
        let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
        let percent = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let base64 = base64::engine::general_purpose::STANDARD;
        let mut escaped = secret.clone();
        for _ in 0..layers {
            escaped = json(&escaped);
        }
        for form in [secret.clone(), escaped, percent(&secret), percent(&secret).to_lowercase(), base64.encode(&secret)] {
            // Lower case changes the letters of the secret as well, unless it has none.
            if form == percent(&secret).to_lowercase() && form.len() != percent(&secret).len() {
                continue;
            }
            let cleaned = gate.scrub(&format!("{before}\n{form}\n{behind}"));
            prop_assert!(!cleaned.contains(&secret), "{}", cleaned);
            if form.len() >= 8 && form.to_lowercase() != form {
                prop_assert!(!cleaned.contains(&form), "{} in {}", form, cleaned);
            }
        }
        let within = base64.encode(format!("{before}{secret}{behind}"));
        let cleaned = gate.scrub(&within);
        prop_assert!(cleaned != within, "{}", cleaned);
    }

    #[test]
    fn streams_and_words_never_panic(lines in prop::collection::vec(text(), 0..8)) {
        let gate = Gate::default();
        let mut stream = gate.lines();
        for line in &lines {
            let _ = stream.clean(line);
        }
        prop_assert_eq!(gate.clean_words(lines.iter().map(String::as_str)).len(), lines.len());
    }
}
