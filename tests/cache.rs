//! The cache adapter against a real redis-server, and against ports where none is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]
#![allow(missing_docs, reason = "a test is read from its names")]

mod support {
    pub mod redis;
}

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use lastgood::domain::cache::{ClearItem, ClearProgress, Clearance, Emptied, Product, Protected};
use lastgood::domain::checklist::Mark;
use lastgood::domain::checks;
use lastgood::domain::confirm::{Confirm, Confirmed};
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::{Gate, Secret};
use lastgood::world::Cache;
use lastgood::world::redis::Redis;
use support::redis::{Server, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

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

// -------------------------------------------------------------------------------- counting and clearing

/// A login that the tests write keys with.
async fn connection(address: SocketAddr) -> ::redis::aio::MultiplexedConnection {
    let client = ::redis::Client::open(format!("redis://{address}/")).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

fn hash(n: usize) -> String {
    format!("{n:064x}")
}

/// Keys that LiteLLM keeps beside its answers, and those of another program.
fn other_keys() -> Vec<String> {
    let mut keys = vec![
        "litellm_spend_update_buffer".to_owned(),
        "litellm_daily_team_spend_update_buffer".to_owned(),
        "prod:litellm_spend_logs_buffer".to_owned(),
        format!("spend:key:{}", hash(1)),
        format!("prod:spend:key:{}", hash(1)),
        format!("{{api_key:{}}}:requests", hash(1)),
        format!("deployment:{}:cooldown", hash(1)),
        "cronjob_lock:db_spend_update_job".to_owned(),
        format!("prod:team_id:{}x", hash(1)),
        hash(1).to_uppercase().replace('0', "A"),
    ];
    keys.extend((0..20).map(|n| format!("session:{n}")));
    keys
}

async fn write(connection: &mut ::redis::aio::MultiplexedConnection, keys: impl IntoIterator<Item = String>) {
    let mut pipe = ::redis::pipe();
    for key in keys {
        pipe.cmd("SET").arg(key).arg("{}").ignore();
    }
    if !pipe.is_empty() {
        let () = pipe.query_async(connection).await.expect("set");
    }
}

async fn fill(address: SocketAddr, prod: usize, bare: usize) -> ::redis::aio::MultiplexedConnection {
    let mut connection = connection(address).await;
    write(&mut connection, (0..prod).map(|n| format!("prod:{}", hash(n)))).await;
    write(&mut connection, (0..bare).map(hash)).await;
    write(&mut connection, (0..7).map(|n| format!("staging:{}", hash(n)))).await;
    write(&mut connection, other_keys()).await;
    connection
}

fn confirmed(namespace: Option<&str>) -> Confirmed<Clearance> {
    let clearance = Clearance { namespace: namespace.map(|name| name.parse().unwrap()), keys: 1 };
    Confirm::new(clearance).answer_all([namespace.unwrap_or("clear")]).expect("the phrase confirms")
}

/// Clears to the end. `each` is called with every progress.
async fn clear(
    cache: &Redis,
    namespace: Option<&str>,
    mut each: impl FnMut(ClearProgress, &CancellationToken),
) -> Result<Emptied, Trouble> {
    let stop = CancellationToken::new();
    let mut feed = cache.clear(confirmed(namespace), stop.clone());
    while let Some(item) = feed.next().await {
        match item {
            ClearItem::Progress(progress) => each(progress, &stop),
            ClearItem::Emptied(emptied) => return Ok(emptied),
            ClearItem::Failed(why) => return Err(why),
        }
    }
    panic!("the feed ended without an end")
}

#[tokio::test]
async fn only_the_answers_that_were_named_are_deleted() {
    let Some(server) = Server::start("only_the_answers_that_were_named_are_deleted", &[]) else { return };
    let mut connection = fill(server.address, 3000, 1200).await;
    let cache = redis(&format!("redis://{}", server.address));
    let survey = cache.survey().await.expect("counted");
    let seen = |name: Option<&str>| survey.answers_in(name.map(|name| name.parse().unwrap()).as_ref());
    assert_eq!((seen(Some("prod")), seen(None), seen(Some("staging"))), (3000, 1200, 7));
    assert_eq!(
        survey.protected,
        [
            (Protected::SpendBuffer, 3),
            (Protected::SpendCounter, 2),
            (Protected::RateLimit, 1),
            (Protected::Cooldown, 1),
            (Protected::Lock, 1),
            (Protected::Other, 22),
        ]
    );
    assert_eq!((survey.product, survey.masters), (Product::Redis, None));

    // Everything that reaches the server is listened to.
    let mut monitor = TcpStream::connect(server.address).await.expect("a connection");
    monitor.write_all(b"MONITOR\r\n").await.expect("sent");
    let mut log = Vec::new();
    let _ = monitor.read_buf(&mut log).await.expect("+OK");

    let mut steps = 0;
    let emptied = clear(&cache, Some("prod"), |_, _| steps += 1).await.expect("cleared");
    assert_eq!(emptied, Emptied { deleted: 3000, left: 0 });
    assert!(steps > 5, "{steps}");
    let again = clear(&cache, Some("prod"), |_, _| {}).await.expect("cleared");
    assert_eq!(again, Emptied { deleted: 0, left: 0 }, "doing it again does nothing");
    let wrong = clear(&cache, Some("production"), |_, _| {}).await.expect("cleared");
    assert_eq!(wrong.deleted, 0);
    let bare = clear(&cache, None, |_, _| {}).await.expect("cleared");
    assert_eq!(bare, Emptied { deleted: 1200, left: 0 });

    let mut left: Vec<String> =
        ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("the keys that are left");
    let mut wanted = other_keys();
    wanted.extend((0..7).map(|n| format!("staging:{}", hash(n))));
    left.sort();
    wanted.sort();
    assert_eq!(left, wanted);

    // Our own KEYS is the last command that the log must hold.
    while !String::from_utf8_lossy(&log).contains("\"KEYS\"") {
        assert!(monitor.read_buf(&mut log).await.expect("the log") > 0);
    }
    let log = String::from_utf8_lossy(&log).to_uppercase();
    let commands: BTreeSet<_> = log.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(commands.contains("SCAN") && commands.contains("UNLINK"), "{commands:?}");
    for never in ["FLUSHALL", "FLUSHDB", "DEL", "EVAL"] {
        assert!(!commands.contains(never), "{never} was sent");
    }
    assert_eq!(log.matches("\"KEYS\"").count(), 1, "only ours");
}

#[tokio::test]
async fn a_clearance_can_be_cancelled_and_gone_on_with() {
    let Some(server) = Server::start("a_clearance_can_be_cancelled_and_gone_on_with", &[]) else { return };
    let _connection = fill(server.address, 5000, 10).await;
    let cache = redis(&format!("redis://{}", server.address));
    let why = clear(&cache, Some("prod"), |progress, stop| {
        if progress.deleted > 0 {
            stop.cancel();
        }
    })
    .await
    .unwrap_err();
    is(&why, TroubleKind::Cancelled, "answers are deleted already");
    let survey = cache.survey().await.expect("counted");
    let left = survey.answers_in(Some(&"prod".parse().unwrap()));
    assert!((1..5000).contains(&left), "{left}");
    assert!(why.what.as_str().contains(&format!("{} answers", 5000 - left)), "{}", why.what);
    let emptied = clear(&cache, Some("prod"), |_, _| {}).await.expect("cleared");
    assert_eq!(emptied, Emptied { deleted: left, left: 0 });
}

#[tokio::test]
async fn a_wrong_namespace_shows_what_is_there() {
    let Some(server) = Server::start("a_wrong_namespace_shows_what_is_there", &[]) else { return };
    let _connection = fill(server.address, 12, 0).await;
    let survey = redis(&format!("redis://{}", server.address)).survey().await.expect("counted");
    assert_eq!(survey.answers_in(Some(&"litellm".parse().unwrap())), 0);
    assert_eq!(survey.seen().unwrap().as_str(), "prod (12), staging (7)");
}

#[tokio::test]
async fn a_user_without_the_right_changes_nothing() {
    let user = format!("+@all -unlink ~* on >{PASSWORD}");
    let mut arguments = vec!["--user", "reader"];
    arguments.extend(user.split(' '));
    let Some(server) = Server::start("a_user_without_the_right_changes_nothing", &arguments) else { return };
    let _connection = fill(server.address, 3, 0).await;
    let cache = redis(&format!("redis://reader:{PASSWORD}@{}", server.address));
    assert_eq!(cache.survey().await.expect("counted").answers_in(Some(&"prod".parse().unwrap())), 3);
    let why = clear(&cache, Some("prod"), |_, _| {}).await.unwrap_err();
    is(&why, TroubleKind::Forbidden, "unlink");
    assert!(why.remedy.as_str().contains("clearing UNLINK"), "{}", why.remedy);
}

async fn wait_until_the_cluster_is_well(connection: &mut ::redis::aio::MultiplexedConnection) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let info: String = ::redis::cmd("CLUSTER").arg("INFO").query_async(connection).await.expect("info");
        if info.contains("cluster_state:ok") {
            return;
        }
        assert!(Instant::now() < deadline, "{info}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_master_of_a_cluster_is_gone_through() {
    let start = || {
        let bus = free_port().port().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", bus.as_str()];
        Some((Server::start("every_master_of_a_cluster_is_gone_through", &arguments)?, bus))
    };
    let (Some((one, _)), Some((two, bus))) = (start(), start()) else { return };
    let (mut first, mut second) = (connection(one.address).await, connection(two.address).await);
    for (connection, from, to) in [(&mut first, 0, 8191), (&mut second, 8192, 16383)] {
        let mut slots = ::redis::cmd("CLUSTER");
        slots.arg("ADDSLOTSRANGE").arg(from).arg(to);
        if slots.query_async::<()>(connection).await.is_err() {
            eprintln!("SKIPPED every_master_of_a_cluster_is_gone_through: this server is older than 7.0");
            return;
        }
    }
    let mut meet = ::redis::cmd("CLUSTER");
    meet.arg("MEET").arg("127.0.0.1").arg(two.address.port()).arg(&bus);
    let () = meet.query_async(&mut first).await.expect("they meet");
    for connection in [&mut first, &mut second] {
        wait_until_the_cluster_is_well(connection).await;
    }
    // Each key goes to the node that has its slot; the other one refuses it.
    let mut written = [0, 0];
    for n in 0..400 {
        for (place, connection) in [&mut first, &mut second].into_iter().enumerate() {
            let mut set = ::redis::cmd("SET");
            set.arg(format!("prod:{}", hash(n))).arg(1);
            written[place] += usize::from(set.query_async::<()>(connection).await.is_ok());
        }
    }
    assert!(written[0] > 50 && written[1] > 50 && written[0] + written[1] == 400, "{written:?}");
    let cache = redis(&format!("redis://{}", one.address));
    let survey = cache.survey().await.expect("counted");
    assert_eq!((survey.masters, survey.answers_in(Some(&"prod".parse().unwrap()))), (Some(2), 400));
    let emptied = clear(&cache, Some("prod"), |_, _| {}).await.expect("cleared");
    assert_eq!(emptied, Emptied { deleted: 400, left: 0 });
    let why = cache.forwarded().survey().await.unwrap_err();
    is(&why, TroubleKind::Refused, "is a cluster of 2 masters");
}

/// A server that greets, and says of itself what it is told to.
async fn claims(info: &'static str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..length]).to_uppercase();
                    for command in text.split('*').skip(1) {
                        let answer = match command {
                            command if command.contains("INFO\r\n$6\r\nSERVER") => {
                                format!("${}\r\n{info}\r\n", info.len())
                            }
                            command if command.contains("PING") => "+PONG\r\n".to_owned(),
                            command if command.contains("DBSIZE") => ":0\r\n".to_owned(),
                            command if command.contains("SCAN") => "*2\r\n$1\r\n0\r\n*0\r\n".to_owned(),
                            _ => "+OK\r\n".to_owned(),
                        };
                        stream.write_all(answer.as_bytes()).await.expect("an answer");
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn old_servers_and_valkey_are_recognised() {
    let at = async |info| redis(&format!("redis://{}", claims(info).await));
    let valkey = at("redis_version:7.2.4\r\nvalkey_version:8.1.3\r\nredis_mode:standalone\r\n").await;
    let survey = valkey.survey().await.expect("counted");
    assert_eq!((survey.product, survey.version.as_str(), survey.warnings.len()), (Product::Valkey, "8.1.3", 0));
    let info = valkey.info().await.expect("an answer");
    assert!(checks::cache(&Ok(info)).evidence[0].as_str().starts_with("Valkey 8.1.3 answers"));
    let old = at("redis_version:6.2.14\r\n").await.survey().await.expect("counted");
    assert_eq!(old.warnings[0].as_str(), "LiteLLM asks for Redis 7 or later");
    let ancient = at("redis_version:3.2.12\r\n").await;
    is(&ancient.survey().await.unwrap_err(), TroubleKind::Refused, "has no UNLINK");
    is(&clear(&ancient, None, |_, _| {}).await.unwrap_err(), TroubleKind::Refused, "has no UNLINK");
}
