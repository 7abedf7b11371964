//! Which file, which environment.

use super::*;

const THREE: &str = "\
[env.prod]
kind = 'production'
context = 'east'
namespace = 'llm'
[env.staging]
kind = 'staging'
context = 'west'
namespace = 'llm'
[env.local]
kind = 'drill'
database = { env = 'DATABASE_URL' }
";

fn loaded(text: &str) -> Loaded {
    let source = Source { file: "lastgood.toml", text };
    let configuration = Configuration::parse(source, &Gate::default()).unwrap();
    Loaded { configuration, path: "conf/lastgood.toml".into() }
}

fn kube() -> Kubeconfig {
    Kubeconfig::from_yaml(
        "{current-context: kind-test, contexts: [\
         {name: kind-test, context: {cluster: c, user: u, namespace: llm}},\
         {name: 'arn:aws:eks:eu:1:cluster/llm', context: {cluster: c, user: u}}]}",
    )
    .unwrap()
}

fn place(environment: &str, context: &str, namespace: &str) -> Place {
    Place {
        config: None,
        environment: environment.parse().ok(),
        context: context.parse().ok(),
        namespace: namespace.parse().ok(),
    }
}

fn chosen(place: &Place, arm: Option<&str>, text: Option<&str>) -> Result<String, String> {
    let loaded = text.map(loaded);
    let arm = arm.map(|arm| arm.parse().unwrap());
    match choose(place, arm.as_ref(), loaded.as_ref(), || Ok(kube())) {
        Ok(Choice::One(one)) => Ok(format!("{} {}", one.environment.name, one.environment.kind.word())),
        Ok(Choice::Several(several)) => Err(which(&several).sentence().to_string()),
        Err(trouble) => Err(trouble.sentence().to_string()),
    }
}

#[test]
fn the_flags_select_an_environment() {
    let rows = [
        (place("staging", "", ""), None, Ok("staging staging")),
        (place("", "east", ""), None, Ok("prod production")),
        (place("", "west", "llm"), None, Ok("staging staging")),
        (place("", "", ""), Some("local"), Ok("local drill")),
        (place("prod", "", ""), Some("local"), Ok("prod production")),
        (place("", "", ""), None, Err("several environments fit; choose one with --env: prod, staging, local")),
        (place("", "", "llm"), None, Err("several environments fit; choose one with --env: prod, staging")),
        (
            place("", "", ""),
            Some("x"),
            Err("no environment fits the flags; choose one with --env: prod, staging, local"),
        ),
        (place("x", "", ""), None, Err("there is no environment x; choose one with --env: prod, staging, local")),
        (
            place("prod", "west", ""),
            None,
            Err("environment prod stands in another context or namespace than the flags say; choose one with --env: \
                 prod, staging, local"),
        ),
        (place("", "kind-test", ""), None, Ok("kind-test production")),
        (
            place("", "", "other"),
            None,
            Err("no environment fits the flags; choose one with --env: prod, staging, local"),
        ),
    ];
    for (place, arm, expected) in rows {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(chosen(&place, arm, Some(THREE)), expected, "{place:?} {arm:?}");
    }
}

#[test]
fn the_only_environment_needs_no_name_and_a_wrong_arm_does_not_hide_it() {
    let one = "[env.only]\nkind = 'staging'\ndatabase = { env = 'U' }";
    assert_eq!(chosen(&place("", "", ""), None, Some(one)).as_deref(), Ok("only staging"));
    assert_eq!(chosen(&place("", "", ""), Some("other"), Some(one)).as_deref(), Ok("only staging"));
}

#[test]
fn a_named_file_is_never_left_for_the_kube_context() {
    let place = Place { config: Some("conf/lastgood.toml".into()), ..place("", "kind-test", "") };
    assert!(chosen(&place, None, Some(THREE)).is_err());
}

#[test]
fn without_a_file_the_current_context_is_production() {
    assert_eq!(chosen(&place("", "", ""), None, None).as_deref(), Ok("kind-test production"));
    let cluster = current(&kube(), None, None).unwrap();
    assert_eq!((cluster.context.as_str(), cluster.namespace.as_str()), ("kind-test", "llm"));
    let arn = "arn:aws:eks:eu:1:cluster/llm".parse().unwrap();
    assert_eq!(current(&kube(), Some(&arn), None).unwrap().namespace.as_str(), "default");
    assert_eq!(current(&kube(), Some(&arn), "n".parse().ok().as_ref()).unwrap().namespace.as_str(), "n");
    let refused = chosen(&place("", "nowhere", ""), None, None).unwrap_err();
    assert_eq!(refused, "the kubeconfig has no context nowhere; `kubectl config get-contexts` names them");
    let refused = chosen(&place("prod", "", ""), None, None).unwrap_err();
    assert!(refused.starts_with("no configuration file describes environment prod; let `lastgood init`"), "{refused}");
}

#[test]
fn context_names_become_environment_names() {
    let long = format!("{}/llm", "x".repeat(100));
    let rows = [
        ("kind-test", "kind-test"),
        ("gke_acme_europe-west1_llm", "gke_acme_europe-west1_llm"),
        ("arn:aws:eks:eu-west-1:123:cluster/llm", "arn-aws-eks-eu-west-1-123-cluster-llm"),
        ("user@cluster.example.com", "user-cluster-example-com"),
        ("生产", "cluster"),
        (&long, &format!("{}-llm", "x".repeat(59))),
    ];
    for (context, expected) in rows {
        assert_eq!(name_of(&context.parse().unwrap()).as_str(), expected);
    }
}

#[test]
fn the_file_is_found_in_the_documented_order() {
    let (here, xdg) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let found = |named: Option<&str>| locate(named.map(Path::new), here.path(), Some(xdg.path()));
    assert_eq!(found(None), None);
    assert_eq!(found(Some("x.toml")), Some("x.toml".into()));
    std::fs::create_dir(xdg.path().join("lastgood")).unwrap();
    std::fs::write(xdg.path().join("lastgood/lastgood.toml"), "").unwrap();
    assert_eq!(found(None), Some(xdg.path().join("lastgood/lastgood.toml")));
    std::fs::write(here.path().join("lastgood.toml"), "").unwrap();
    assert_eq!(found(None), Some(here.path().join("lastgood.toml")));
    assert_eq!(found(Some("x.toml")), Some("x.toml".into()));
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let gone = load(&folder.path().join("gone.toml"), &gate).unwrap_err();
    assert!(gone.to_string().contains("cannot be read") && gone.exit() == Exit::Usage, "{gone}");
    assert!(load(folder.path(), &gate).is_err());
    let large = folder.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; (LARGEST + 1) as usize]).unwrap();
    assert!(load(&large, &gate).unwrap_err().to_string().contains("file too large"));
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    assert!(load(&binary, &gate).is_err());
}

#[test]
fn the_terminal_takes_a_number_or_a_name() {
    let loaded = loaded(THREE);
    let Ok(Choice::Several(several)) = choose(&Place::default(), None, Some(&loaded), || Ok(kube())) else {
        panic!("several")
    };
    let answer = |typed: &str| {
        let mut questions = Vec::new();
        let chosen = ask(several.clone(), &mut typed.as_bytes(), &mut questions).unwrap();
        (chosen.map(|chosen| chosen.environment.name.to_string()), String::from_utf8(questions).unwrap())
    };
    assert_eq!(answer("2\n").0.as_deref(), Some("staging"));
    assert_eq!(answer("local\n").0.as_deref(), Some("local"));
    assert_eq!(answer("0\n4\nnope\n1\n").0.as_deref(), Some("prod"));
    assert_eq!(answer("\n").0, None);
    assert_eq!(answer("").0, None);
    assert!(answer("").1.starts_with("  1  prod (production)\n  2  staging (staging)\n  3  local (drill)\n"));
}
