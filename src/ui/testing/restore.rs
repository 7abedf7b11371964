//! A restore in every stage that has a dialog.

use crate::app::msg::{Done, Msg, Sight};
use crate::app::overlay::Overlay;
use crate::app::state::State;
use crate::app::update::update;
use crate::domain::backup::BackupProof;
use crate::domain::record::ActKind;
use crate::domain::restore::{Difference, Dump, Remnant, RestorePlan, RestoreWish, Restored, Since};
use crate::text::Clean;
use crate::ui::testing::{ago, night, start, words};

fn dump(hours: i64, of: &str, left_out: Vec<Clean>) -> Dump {
    let at = ago(hours * 3_600);
    let file = words(&at.strftime("litellm_backup_%Y%m%d_%H%M%S.dump").to_string());
    let rows = [("public.LiteLLM_SpendLogs", 182_340), ("public.LiteLLM_VerificationToken", 214)];
    let proof = BackupProof {
        folder: words("/var/backups/litellm"),
        bytes: 734_003_200,
        sha256: words("f00"),
        database: words(of),
        server_version: words("16.2"),
        pg_dump_version: words("16.4"),
        rows: rows.iter().map(|(table, rows)| (words(table), *rows)).collect(),
        left_out,
        migration_head: None,
        started_at: at,
        taken_at: at,
        proved_at: at,
        file,
    };
    Dump { path: "/var/backups/litellm/x.dump".into(), proof }
}

/// The question: still looking, then with two backups of which the second is another database's.
pub fn questions(state: &State) -> [Overlay; 3] {
    let mut state = state.clone();
    let before = state.overlays.len();
    let wish = RestoreWish { dump: None, into: None, at: night() };
    let _ = update(&mut state, Msg::RestoreDatabase(Box::new(wish)));
    let waiting = state.overlays[before].clone();
    let Overlay::RestoreDatabase(restoring) = &waiting else { unreachable!() };
    let look = restoring.look;
    let beside = "db.internal:5432/litellm (schema public)";
    let plan = RestorePlan {
        dumps: vec![
            dump(2, beside, vec![]),
            dump(26, "db.internal:5432/staging (schema public)", vec![words("public.LiteLLM_SpendLogs")]),
        ],
        beside: words(beside),
        server_version: words("16.2"),
        pg_restore: words("16.4"),
        live_bytes: 12_345_678_901,
        into: "litellm_restore_20260314_030700".parse().unwrap(),
        left: vec![Remnant {
            name: "litellm_restore_20260314_023100".parse().unwrap(),
            bytes: 4_000_000_000,
            comment: words("lastgood: incomplete restore of litellm_backup_20260314_010700.dump"),
            sessions: 0,
        }],
    };
    let _ = update(&mut state, Msg::Looked(look, Sight::RestorePlan(Ok(Box::new(plan)))));
    let first = state.overlays[before].clone();
    let mut second = first.clone();
    if let Overlay::RestoreDatabase(restoring) = &mut second {
        restoring.select(true);
    }
    [waiting, first, second]
}

/// What a restore that is done lacks.
pub fn lacking(state: &mut State) -> Overlay {
    let (told, checks) = (state.incident.timeline.len(), state.checks.clone());
    let into = "litellm_restore_20260314_030700".parse().unwrap();
    let file = "litellm_backup_20260314_010700.dump".to_owned();
    let kind = ActKind::RestoreDatabase { file: file.clone(), into };
    let act = start(state, kind, "restore the backup", true);
    let difference = |table, live, restored, newer: u64| Difference {
        table: words(table),
        live: Some(live),
        restored,
        newer: (newer > 0).then(|| Since { column: words("created_at"), rows: newer }),
        changed: None,
    };
    let restored = Restored {
        into: "litellm_restore_20260314_030700".parse().unwrap(),
        file: words(&file),
        taken_at: ago(7_200),
        tables: 102,
        rows: 182_554,
        bytes: 12_000_000_000,
        differences: Some(vec![
            difference("public.LiteLLM_SpendLogs", 183_102, Some(182_340), 762),
            difference("public.LiteLLM_VerificationToken", 217, Some(214), 3),
            difference("public.LiteLLM_NewTable", 4, None, 0),
        ]),
        notes: vec![words("the live database has settings or grants of its own: repeat them")],
    };
    let _ = update(state, Msg::Acted(act, Ok(Done::RestoredDatabase(Box::new(restored)))));
    // The other dialogs are drawn over what was there before.
    state.notice = None;
    state.checks = checks;
    state.incident.timeline.truncate(told);
    Overlay::Lacking { act, scroll: 0 }
}
