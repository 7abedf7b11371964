//! Finds the configuration file, and chooses the one environment that is worked in.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use kube::config::{Kubeconfig, KubeconfigError};

use crate::cli::command::Place;
use crate::cli::exit::Exit;
use crate::domain::environment::{ClusterConfig, Configuration, Environment};
use crate::domain::name::{ContextName, EnvName, Name};
use crate::domain::runbook::{Fault, Source};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// The file's name, in the current folder and in its own folder of the XDG configuration folder.
pub const FILE_NAME: &str = "lastgood.toml";

/// Larger than any configuration: a wrong path should not fill the memory.
const LARGEST: u64 = 1 << 20;

/// Why there is no environment to work in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file is faulty. Never empty.
    Faults(Vec<Fault>),
    /// The file cannot be read, or no environment fits.
    Trouble(Trouble),
}

impl ConfigError {
    /// The exit code to end with.
    pub fn exit(&self) -> Exit {
        match self {
            ConfigError::Faults(_) => Exit::Usage,
            ConfigError::Trouble(trouble) => trouble.kind.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Faults(faults) => {
                for (index, fault) in faults.iter().enumerate() {
                    write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
            ConfigError::Trouble(trouble) => write!(f, "{}", trouble.sentence()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<Trouble> for ConfigError {
    fn from(trouble: Trouble) -> Self {
        ConfigError::Trouble(trouble)
    }
}

/// A configuration and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What it says.
    pub configuration: Configuration,
    /// The file.
    pub path: PathBuf,
}

/// The environment to work in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The environment.
    pub environment: Environment,
    /// The file that describes it; `None` when it was made from the current kube context.
    pub path: Option<PathBuf>,
}

impl Chosen {
    /// The folder that its relative paths start at.
    pub fn folder(&self) -> &Path {
        self.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""))
    }
}

/// What choosing led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One environment fits.
    One(Box<Chosen>),
    /// Several fit: somebody has to say which. Never fewer than two.
    Several(Vec<Chosen>),
}

/// The XDG configuration folder on every system: the same place in every handbook.
pub fn xdg_folder() -> Option<PathBuf> {
    etcetera::base_strategy::Xdg::new().ok().map(|xdg| xdg.config_dir())
}

/// The file to read: the named one, else the one in the folder `here`, else the one below the
/// XDG configuration folder. `None` when nothing is named and nothing is there.
pub fn locate(named: Option<&Path>, here: &Path, xdg: Option<&Path>) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    let usual = [Some(here.join(FILE_NAME)), xdg.map(|folder| folder.join("lastgood").join(FILE_NAME))];
    usual.into_iter().flatten().find(|path| path.exists())
}

/// Finds the configuration, reads it, and chooses the environment that the flags mean.
///
/// # Errors
/// As [`load`] and [`choose`].
pub fn open(place: &Place, arm: Option<&EnvName>, gate: &Gate) -> Result<Choice, ConfigError> {
    let path = locate(place.config.as_deref(), Path::new(""), xdg_folder().as_deref());
    let loaded = path.map(|path| load(&path, gate)).transpose()?;
    Ok(choose(place, arm, loaded.as_ref(), || kubeconfig(gate))?)
}

/// Reads and parses a configuration file.
///
/// # Errors
/// Every fault of the file, or why it cannot be read.
pub fn load(path: &Path, gate: &Gate) -> Result<Loaded, ConfigError> {
    let file = path.to_string_lossy();
    let text = read(path).map_err(|why| {
        let kind = if why.kind() == io::ErrorKind::NotFound { TroubleKind::NotFound } else { TroubleKind::Invalid };
        Trouble::new(
            kind,
            say!("the configuration {} cannot be read: {}", gate.clean(&file), gate.clean(&why.to_string())),
        )
        .remedy(Clean::ours("name another file with --config, or let `lastgood init` write one"))
    })?;
    let source = Source { file: &file, text: &text };
    let configuration = Configuration::parse(source, gate).map_err(ConfigError::Faults)?;
    Ok(Loaded { configuration, path: path.to_owned() })
}

fn read(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// Chooses the environment that the flags mean. They select and never change what the file says:
/// an environment's name is what is typed to arm, so it must go on meaning one place.
///
/// `arm` decides only where several would fit. `kubeconfig` is asked when no file describes the
/// place: that place is then treated as production.
///
/// # Errors
/// When nothing fits, naming what there is.
pub fn choose(
    place: &Place,
    arm: Option<&EnvName>,
    loaded: Option<&Loaded>,
    kubeconfig: impl FnOnce() -> Result<Kubeconfig, Trouble>,
) -> Result<Choice, Trouble> {
    let Some(loaded) = loaded else {
        if let Some(name) = &place.environment {
            return Err(Trouble::new(
                TroubleKind::Missing,
                say!("no configuration file describes environment {}", name),
            )
            .remedy(Clean::ours("let `lastgood init` write one, name one with --config, or leave out --env")));
        }
        return unconfigured(place, kubeconfig);
    };
    let all = loaded.configuration.environments();
    let mut fitting: Vec<_> = all.iter().filter(|environment| fits(environment, place)).collect();
    if let (true, Some(arm)) = (fitting.len() > 1, arm) {
        fitting.retain(|environment| environment.name == *arm);
    }
    let chosen =
        |environment: &Environment| Chosen { environment: environment.clone(), path: Some(loaded.path.clone()) };
    match fitting[..] {
        [one] => Ok(Choice::One(Box::new(chosen(one)))),
        [] if place.environment.is_none() && place.config.is_none() && place.context.is_some() => {
            unconfigured(place, kubeconfig)
        }
        [] => Err(nothing_fits(place, all)),
        _ => Ok(Choice::Several(fitting.into_iter().map(chosen).collect())),
    }
}

fn fits(environment: &Environment, place: &Place) -> bool {
    let cluster = environment.cluster.as_ref();
    place.environment.as_ref().is_none_or(|name| *name == environment.name)
        && place.context.as_ref().is_none_or(|context| cluster.is_some_and(|cluster| cluster.context == *context))
        && place.namespace.as_ref().is_none_or(|space| cluster.is_some_and(|cluster| cluster.namespace == *space))
}

fn nothing_fits(place: &Place, all: &[Environment]) -> Trouble {
    let what = match &place.environment {
        Some(name) if all.iter().any(|environment| environment.name == *name) => {
            say!("environment {} stands in another context or namespace than the flags say", name)
        }
        Some(name) => say!("there is no environment {}", name),
        None => Clean::ours("no environment fits the flags"),
    };
    Trouble::new(TroubleKind::NotFound, what).remedy(say!("choose one with --env: {}", names(all)))
}

/// Why a command without a screen cannot go on when several environments fit.
pub fn which(several: &[Chosen]) -> Trouble {
    let environments: Vec<_> = several.iter().map(|chosen| chosen.environment.clone()).collect();
    Trouble::new(TroubleKind::Invalid, Clean::ours("several environments fit"))
        .remedy(say!("choose one with --env: {}", names(&environments)))
}

fn names(environments: &[Environment]) -> Clean {
    environments.iter().fold(Clean::default(), |list, environment| {
        if list.is_empty() { say!("{}", environment.name) } else { say!("{}, {}", list, environment.name) }
    })
}

/// Asks on the plain terminal which environment is meant. `None` when the answer ends without one.
///
/// # Errors
/// When the terminal cannot be read or written.
pub fn ask(
    mut several: Vec<Chosen>,
    answers: &mut impl BufRead,
    questions: &mut impl Write,
) -> io::Result<Option<Chosen>> {
    for (number, Chosen { environment, .. }) in several.iter().enumerate() {
        writeln!(questions, "  {}  {} ({})", number + 1, environment.name, environment.kind.word())?;
    }
    loop {
        write!(questions, "which environment? ")?;
        questions.flush()?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 || answer.trim().is_empty() {
            return Ok(None);
        }
        let answer = answer.trim();
        let by_number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let by_name = several.iter().position(|chosen| chosen.environment.name.as_str() == answer);
        // A name wins: an environment may be called `1`.
        if let Some(index) = by_name.or(by_number).filter(|index| *index < several.len()) {
            return Ok(Some(several.swap_remove(index)));
        }
        writeln!(questions, "type its number or its name; nothing ends the program")?;
    }
}

/// Reads the kubeconfig as kubectl does: `KUBECONFIG`, else `~/.kube/config`. Asks no server and
/// runs no credential plugin.
///
/// # Errors
/// When there is none, or it is not a kubeconfig.
pub fn kubeconfig(gate: &Gate) -> Result<Kubeconfig, Trouble> {
    Kubeconfig::read().map_err(|why| no_kubeconfig(&why, gate))
}

/// Only a reading error is told in its own words: the others quote the file, which holds keys.
fn no_kubeconfig(why: &KubeconfigError, gate: &Gate) -> Trouble {
    let (kind, why) = match why {
        KubeconfigError::ReadConfig(why, path) => {
            let path = gate.clean(&path.to_string_lossy());
            (TroubleKind::Missing, say!("{}: {}", path, gate.clean(&why.to_string())))
        }
        KubeconfigError::FindPath => (TroubleKind::Missing, Clean::ours("there is no home folder to look in")),
        _ => (TroubleKind::Invalid, Clean::ours("it is not well-formed; `kubectl config view` says where")),
    };
    Trouble::new(kind, say!("there is no configuration file, and no kubeconfig to go by: {}", why)).remedy(Clean::ours(
        "let `lastgood init` write lastgood.toml, or set KUBECONFIG; `lastgood drill` needs neither",
    ))
}

/// The context and the namespace that are meant when only a kubeconfig is there: the flags, else
/// what is current, else kubectl's `default` namespace.
///
/// # Errors
/// When no context is current, or the kubeconfig has no such context.
pub fn current(
    kubeconfig: &Kubeconfig,
    context: Option<&ContextName>,
    namespace: Option<&Name>,
) -> Result<ClusterConfig, Trouble> {
    let invalid = |what| Trouble::new(TroubleKind::Invalid, what);
    let named = match context {
        Some(context) => context.clone(),
        None => kubeconfig
            .current_context
            .as_deref()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| invalid(Clean::ours("the kubeconfig has no current context")))
            .map_err(|trouble| trouble.remedy(Clean::ours("name one with --context")))?
            .parse()
            .map_err(|bad| bad_name("the kubeconfig's current context", bad))?,
    };
    let entry = kubeconfig.contexts.iter().find(|entry| entry.name == named.as_str());
    let Some(entry) = entry else {
        return Err(Trouble::new(TroubleKind::NotFound, say!("the kubeconfig has no context {}", named))
            .remedy(Clean::ours("`kubectl config get-contexts` names them")));
    };
    let namespace = match namespace {
        Some(namespace) => namespace.clone(),
        None => entry
            .context
            .as_ref()
            .and_then(|context| context.namespace.as_deref())
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or("default")
            .parse()
            .map_err(|bad| bad_name("the namespace of the kube context", bad))?,
    };
    Ok(ClusterConfig { context: named, namespace, kubeconfig: None })
}

fn bad_name(which: &'static str, bad: crate::domain::name::BadName) -> Trouble {
    Trouble::new(TroubleKind::Invalid, say!("{} is not {}", which, bad.what))
        .remedy(say!("correct the kubeconfig ({}), or use --context and --namespace", bad.rule))
}

fn unconfigured(place: &Place, kubeconfig: impl FnOnce() -> Result<Kubeconfig, Trouble>) -> Result<Choice, Trouble> {
    let cluster = current(&kubeconfig()?, place.context.as_ref(), place.namespace.as_ref())?;
    let environment = Environment::unknown(name_of(&cluster.context), cluster);
    Ok(Choice::One(Box::new(Chosen { environment, path: None })))
}

/// An environment's name out of a context's: the end of it where it is long, because that is where
/// cloud providers write the cluster (`arn:aws:eks:…:cluster/llm`, `gke_project_zone_llm`).
pub fn name_of(context: &ContextName) -> EnvName {
    let mut name = String::new();
    for c in context.as_str().chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    let tail = name.len().saturating_sub(63);
    let name = name.get(tail..).unwrap_or_default().trim_matches('-');
    let name = if name.is_empty() { "cluster" } else { name };
    name.parse().unwrap_or_else(|bad| unreachable!("only letters, digits, '-' and '_' are left: {bad}"))
}

#[cfg(test)]
mod tests;
