//! What a sandbox's containers log: the scenario's lines at their times, and the lines that
//! LiteLLM and Prisma write by their own rules.
//!
//! Wording after LiteLLM 1.81 to 1.106 and Prisma 5 (the texts of P3009 and of a failed
//! decryption, the out-of-sync line, the two Lago lines).

use super::model::Model;
use super::parts::{Fate, Millis, Run, SandboxPod, hash};
use crate::text::Secret;

/// Between two lines while a container starts.
const BOOT_LINE: Millis = 150;
/// Between two lines while it runs.
const RUNNING_LINE: Millis = 1_500;
/// Between two complaints about credentials or a clash with the schema.
const COMPLAINT: Millis = 4_000;
/// Between two usage events of ordinary traffic.
const EVENT: Millis = 8_000;

/// One line, as it comes from outside, and when the kubelet received it.
pub(super) struct Line {
    pub(super) at: Millis,
    pub(super) text: String,
}

/// The lines of one run after one moment and up to another, in order.
pub(super) fn lines(model: &Model, pod: &SandboxPod, run: &Run, after: Millis, until: Millis) -> Vec<Line> {
    let after = after.max(model.horizon());
    let until = run.ended.map_or(until, |ended| ended.min(until));
    let mut script = Script { model, pod, after, until, lines: vec![] };
    script.run(run);
    script.lines.sort_by_key(|line| line.at);
    script.lines
}

struct Script<'a> {
    model: &'a Model,
    pod: &'a SandboxPod,
    after: Millis,
    until: Millis,
    lines: Vec<Line>,
}

impl Script<'_> {
    fn run(&mut self, run: &Run) {
        let Some(image) = self.model.image(self.pod) else { return };
        match &run.fate {
            Fate::Up { ready_at } => {
                self.once(run.started, &image.boot);
                self.warn_of_newer_schema(run, image);
                let running = ready_at + 400;
                self.over_and_over(running, RUNNING_LINE, &image.running, false);
                if let Some(clash) = &image.clash
                    && let Some(since) = self.model.schema.get(&clash.with)
                {
                    self.over_and_over(running.max(*since), COMPLAINT, &clash.log, true);
                }
                if let Some(need) = &image.need
                    && let Some(missing) = self.model.missing_until(&need.object)
                {
                    let until = self.until;
                    self.until = until.min(missing);
                    self.over_and_over(running, COMPLAINT, &need.log, true);
                    self.until = until;
                }
                let plan = &self.model.sets[self.pod.set].plan;
                if self.model.unreadable(plan) {
                    self.over_and_over(run.started + 900, COMPLAINT, &secrets(&UNREADABLE), true);
                } else if self.model.scenario.gateway.billing {
                    self.over_and_over(running + 500, EVENT, &secrets(&LAGO), true);
                }
                self.completions();
            }
            Fate::Crash { at, on, .. } => {
                self.once(run.started, &image.boot);
                let source = self.model.scenario.sources.iter().find(|source| Some(&source.source.name) == on.as_ref());
                let crash = match source.and_then(|source| source.breaks.as_ref()) {
                    Some((_, crash)) => Some(crash),
                    None => image.crash.as_ref(),
                };
                self.all_at(*at, crash.map(|crash| crash.log.as_slice()).unwrap_or_default());
            }
            Fate::Refused { at, migration, started } => {
                let text = REFUSED.map(|line| {
                    line.replace("{migration}", migration.as_str())
                        .replace("{began}", &started.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string())
                });
                self.once(run.started, &image.boot[..image.boot.len().min(4)]);
                self.all_at(*at, &text.map(Secret::new));
            }
        }
    }

    /// The line that an older pod with `DISABLE_SCHEMA_UPDATE=true` writes on a newer schema. It
    /// is expected after a rollback; the commands in it must never be run.
    fn warn_of_newer_schema(&mut self, run: &Run, image: &crate::domain::scenario::ImagePlan) {
        let hands_off = self.model.sets[self.pod.set].plan.hands_off();
        if hands_off && self.model.unknown_to(image).next().is_some() {
            self.put(
                run.started + 1_100,
                0,
                "🚨🚨🚨 prisma schema out of sync with db. Consider running these sql_commands to sync the two - ['ALTER TABLE \"LiteLLM_TeamTable\" DROP COLUMN \"soft_budget\"']",
            );
        }
    }

    /// Test completions that this pod answered.
    fn completions(&mut self) {
        let model = self.model;
        for asked in &model.asked {
            if model.pods.get(asked.pod).is_none_or(|pod| pod.uid != self.pod.uid) {
                continue;
            }
            self.put(asked.at + 20, 1, "INFO:     10.42.0.1:{port} - \"POST /v1/chat/completions HTTP/1.1\" 200 OK");
            if model.scenario.gateway.billing {
                for (place, line) in (2..).zip(LAGO) {
                    self.put(asked.at + 300, place, line);
                }
            }
        }
    }

    /// Each line once, one after the other.
    fn once(&mut self, from: Millis, lines: &[Secret]) {
        for (place, line) in (0..).zip(lines) {
            self.put(from + place * BOOT_LINE, place, line.expose());
        }
    }

    /// All lines at one moment: a burst shares one timestamp.
    fn all_at(&mut self, at: Millis, lines: &[Secret]) {
        for (place, line) in (0..).zip(lines) {
            self.put(at, place, line.expose());
        }
    }

    /// The lines in turn, or all of them each time, as long as it runs.
    fn over_and_over(&mut self, from: Millis, every: Millis, lines: &[Secret], together: bool) {
        if lines.is_empty() {
            return;
        }
        let offset = Millis::try_from(self.pod.seed % 900).unwrap_or(0);
        let first = ((self.after - from - offset).div_euclid(every)).max(0);
        for turn in first.. {
            let at = from + offset + turn * every;
            if at > self.until {
                break;
            }
            if together {
                self.all_at(at, lines);
            } else {
                let place = usize::try_from(turn).unwrap_or(0) % lines.len();
                self.put(at, turn, lines[place].expose());
            }
        }
    }

    fn put(&mut self, at: Millis, place: Millis, template: &str) {
        if at <= self.after || at > self.until {
            return;
        }
        let text = if template.contains('{') { self.fill(at, place, template) } else { template.to_owned() };
        self.lines.push(Line { at, text });
    }

    fn fill(&self, at: Millis, place: Millis, template: &str) -> String {
        let time = self.model.time(at);
        let seed = hash(&format!("{} {at} {place}", self.pod.seed));
        template
            .replace("{clock}", &time.strftime("%H:%M:%S").to_string())
            .replace("{stamp}", &time.strftime("%Y-%m-%d %H:%M:%S,%3f").to_string())
            .replace("{port}", &(30_000 + seed % 30_000).to_string())
            .replace("{id}", &format!("{seed:016x}"))
    }
}

fn secrets(lines: &[&str]) -> Vec<Secret> {
    lines.iter().map(|line| Secret::new(*line)).collect()
}

/// What Prisma says at every start while a failed row is there, and what LiteLLM makes of it.
const REFUSED: [&str; 6] = [
    "220 migrations found in prisma/migrations",
    "Error: P3009",
    "migrate found failed migrations in the target database, new migrations will not be applied. Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve",
    "The `{migration}` migration started at {began} failed",
    "{stamp} - litellm_proxy_extras - ERROR - Migration completion could not be verified. LiteLLM startup has stopped.",
    "RuntimeError: Migration completion could not be verified. LiteLLM startup has stopped.",
];

/// What LiteLLM says of credentials that were encrypted under another key.
const UNREADABLE: [&str; 3] = [
    "{clock} - LiteLLM Proxy:ERROR: encrypt_decrypt_utils.py:68 - Error decrypting value for key: api_key, Did your master_key/salt key change recently?",
    "Error: Decryption failed. Ciphertext failed verification",
    "Set permanent salt key - https://docs.litellm.ai/docs/proxy/prod#5-set-litellm-salt-key",
];

/// One usage event: announced with its payload on a line of its own, then answered by Lago.
const LAGO: [&str; 3] = [
    "{clock} - LiteLLM:DEBUG: lago.py:127 - \u{1b}[91mLogged Lago Object:",
    "{'event': {'transaction_id': '{id}', 'code': 'litellm_tokens', 'properties': {'model': 'gpt-4o-mini', 'total_tokens': 30}}}\u{1b}[0m",
    "{clock} - LiteLLM:DEBUG: lago.py:171 - Logged Lago Object: {\"event\":{\"lago_id\":\"{id}\",\"code\":\"litellm_tokens\"}}",
];
