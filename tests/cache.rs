//! The cache adapter against a real redis-server, and against ports where none is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]
#![allow(missing_docs, reason = "a test is read from its names")]

mod support {
    pub mod redis;
}

use std::time::Duration;

use lastgood::domain::checklist::Mark;
use lastgood::domain::checks;
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::{Gate, Secret};
use lastgood::world::Cache;
use lastgood::world::redis::Redis;
use support::redis::{Server, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PASSWORD: &str = "hunter-2-secret";

fn redis(url: &str) -> Redis {
    Redis::new(Secret::new(url), Gate::default()).expect("a URL of Redis")
}

#[track_caller]
fn is(trouble: &Trouble, kind: TroubleKind, words: &str) {
    assert_eq!(trouble.kind, kind, "{trouble:?}");
    assert!(trouble.what.as_str().contains(words), "{trouble:?} lacks {words:?}");
    assert!(!trouble.remedy.is_empty(), "{trouble:?}");
    assert!(!format!("{trouble:?}").contains(PASSWORD), "{trouble:?}");
}

#[tokio::test]
async fn a_server_tells_version_and_keys() {
    let Some(server) = Server::start("a_server_tells_version_and_keys", &[]) else { return };
    let url = format!("redis://{}/2", server.address);
    let client = ::redis::Client::open(url.as_str()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    for key in ["a", "b", "c"] {
        let () = ::redis::cmd("SET").arg(key).arg(1).query_async(&mut connection).await.expect("set");
    }
    let info = redis(&url).info().await.expect("an answer");
    assert_eq!((info.pong, info.keys), (true, Some(3)));
    let numbers: Vec<_> = info.version.as_str().split('.').collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok()), "{}", info.version);
    assert_eq!(checks::cache(&Ok(info)).mark, Mark::Ticked);
    let other = redis(&format!("redis://{}/3", server.address)).info().await.expect("an answer");
    assert_eq!(other.keys, Some(0), "the database of the URL is the one that is counted");
}

#[tokio::test]
async fn passwords_are_needed_checked_and_never_told() {
    let Some(server) = Server::start("passwords_are_needed_checked_and_never_told", &["--requirepass", PASSWORD])
    else {
        return;
    };
    let at = |login: &str| redis(&format!("redis://{login}{}", server.address));
    assert!(at(&format!(":{PASSWORD}@")).info().await.expect("an answer").pong);
    is(&at("").info().await.unwrap_err(), TroubleKind::Unauthenticated, "Redis at 127.0.0.1");
    let wrong = at(":wrong-password@").info().await.unwrap_err();
    is(&wrong, TroubleKind::Unauthenticated, "Redis at 127.0.0.1");
    assert!(!format!("{wrong:?}").contains("wrong-password"));
    assert_eq!(checks::cache(&Err(wrong)).mark, Mark::Unknown);
}

#[tokio::test]
async fn a_user_that_may_only_ping_is_enough() {
    let user = format!("+ping +select +client on >{PASSWORD}");
    let mut arguments = vec!["--user", "checker"];
    arguments.extend(user.split(' '));
    let Some(server) = Server::start("a_user_that_may_only_ping_is_enough", &arguments) else { return };
    let info = redis(&format!("redis://checker:{PASSWORD}@{}", server.address)).info().await.expect("an answer");
    assert_eq!((info.pong, info.keys, info.version.as_str()), (true, None, "of unknown version"));
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let trouble = redis(&format!("redis://:{PASSWORD}@{}", free_port())).info().await.unwrap_err();
    is(&trouble, TroubleKind::Unreachable, "connection refused");
    assert_eq!(checks::cache(&Err(trouble)).mark, Mark::Failed);
}

#[tokio::test]
async fn a_mute_server_is_left_after_a_while() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let mute = redis(&format!("redis://{address}")).with_patience(Duration::from_millis(300));
    is(&mute.info().await.unwrap_err(), TroubleKind::Unreachable, "no answer within 0.3 s");
    drop(listener);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_after_a_while() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut buffer = vec![0; 4096];
        let length = stream.read(&mut buffer).await.expect("the client's greeting");
        let commands = buffer[..length].iter().filter(|&&byte| byte == b'*').count();
        stream.write_all("+OK\r\n".repeat(commands).as_bytes()).await.expect("an answer");
        // PING comes, and is never answered.
        std::future::pending::<()>().await;
    });
    let silent = redis(&format!("redis://{address}")).with_patience(Duration::from_millis(1500));
    let begun = tokio::time::Instant::now();
    is(&silent.info().await.unwrap_err(), TroubleKind::Unreachable, "no answer within 1.5 s");
    assert!(
        begun.elapsed() >= Duration::from_millis(1400),
        "its own patience, not the library's: {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn what_is_no_redis_is_said_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let trouble = redis(&format!("redis://{address}")).info().await.unwrap_err();
    is(&trouble, TroubleKind::Refused, "Redis at 127.0.0.1");
    let tls = redis(&format!("rediss://{address}")).info().await.unwrap_err();
    is(&tls, TroubleKind::Unreachable, "Redis at 127.0.0.1");
}

#[test]
fn a_url_that_cannot_be_read_is_refused_without_telling_it() {
    for url in ["", "nonsense", "http://:hunter-2-secret@cache", "redis://:hunter-2-secret@cache:99999"] {
        let trouble = Redis::new(Secret::new(url), Gate::default()).err().expect(url);
        is(&trouble, TroubleKind::Invalid, "cannot be read");
    }
}
