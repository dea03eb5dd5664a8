//! Every command of README and docs runs as it is typed there: each fenced `sh` block, in the order of the page, by bash, with the
//! real kubectl and the built operator, in a world where operator and agents run. A block that cannot run here says why in a
//! comment above it, `<!-- not run: … -->`, and is listed below.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sreg_testbed::objects::REGISTRY;
use sreg_testbed::{NAMESPACE, OperatorOptions, Testbed, repository, worlds};
use sreg_testkit::binary_path;

/// Where the operator records its passes, in the testbed's folder.
const RECORDED: &str = "recorded";

/// Longest that one block may take.
const LIMIT: Duration = Duration::from_secs(180);

/// The pages, in the order in which somebody new reads them.
const PAGES: [&str; 7] = [
    "docs/install.md",
    "deploy/README.md",
    "README.md",
    "docs/break-glass.md",
    "docs/troubleshooting.md",
    "docs/azure-sim.md",
    "docs/cli.md",
];

/// Everything that is not run, by the page and the first line of its block.
const NOT_RUN: [(&str, &str); 5] = [
    (
        "docs/install.md",
        "SUBSCRIPTION=$(az account show --query id --output tsv)",
    ),
    (
        "docs/install.md",
        "helm install secure-registry-operator charts/secure-registry-operator --namespace secure-registry-system --create-namespace \\",
    ),
    (
        "docs/install.md",
        "kubectl -n secure-registry-system rollout status deploy/secure-registry-operator",
    ),
    ("README.md", "make demo"),
    (
        "docs/azure-sim.md",
        "cargo run -p azure-sim -- serve --seed examples/azure/demo.yaml --state-dir /tmp/azure",
    ),
];

/// One fenced block of commands.
#[derive(Debug)]
struct Block {
    page: String,
    line: usize,
    heading: String,
    text: String,
    not_run: Option<String>,
}

fn blocks(page: &str) -> Result<Vec<Block>> {
    let text = std::fs::read_to_string(repository().join(page)).with_context(|| format!("read {page}"))?;
    let mut found = Vec::new();
    let (mut heading, mut not_run) = (String::new(), None);
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
        if let Some(reason) = line
            .strip_prefix("<!-- not run: ")
            .and_then(|rest| rest.strip_suffix(" -->"))
        {
            not_run = Some(reason.to_owned());
            continue;
        }
        if line == "```sh" {
            let body: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            found.push(Block {
                page: page.to_owned(),
                line: at + 2,
                heading: heading.clone(),
                text: body.join("\n"),
                not_run: not_run.take(),
            });
        } else if line.starts_with("```") {
            lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .for_each(drop);
        }
        not_run = None;
    }
    Ok(found)
}

/// A shell whose kubectl and operator are ours; a watch, which ends only when somebody ends it, is ended after a moment.
struct Shell<'a> {
    testbed: &'a Testbed,
    programs: PathBuf,
    /// What pages have set so far: `NS=ml-platform`.
    set: String,
}

impl<'a> Shell<'a> {
    fn new(testbed: &'a Testbed) -> Result<Shell<'a>> {
        let programs = testbed.path("programs");
        std::fs::create_dir(&programs)?;
        let kubectl = testbed.plane.assets().join("kubectl");
        let script = format!(
            "#!/usr/bin/env bash\nfor word; do\n  if [[ $word == -w ]]; then\n    timeout 3 {0} \"$@\" || [[ $? == 124 ]]\n    exit\n  fi\ndone\nexec {0} \"$@\"\n",
            kubectl.display()
        );
        let path = programs.join("kubectl");
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        for program in ["secure-registry-operator", "kubectl-secureregistry", "sreg"] {
            std::os::unix::fs::symlink(binary_path(program)?, programs.join(program))?;
        }
        Ok(Shell {
            testbed,
            programs,
            set: String::new(),
        })
    }

    async fn run(&mut self, block: &Block) -> Result<()> {
        let path = std::env::var("PATH").unwrap_or_default();
        let script = format!("{}{}", self.set, block.text);
        let running = tokio::process::Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(repository())
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("KUBECONFIG", self.testbed.plane.admin_kubeconfig())
            .env("KUBECACHEDIR", self.testbed.path("kubectl-cache"))
            .env("RECORDED", self.testbed.path(RECORDED))
            .envs(self.testbed.azure_environment())
            .env("HUB", self.testbed.socks5("hub")?)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let place = format!("{}:{} ({})", block.page, block.line, block.heading);
        let output = tokio::time::timeout(LIMIT, running)
            .await
            .with_context(|| format!("{place}: not done after {LIMIT:?}\n{}", block.text))??;
        ensure!(
            output.status.success(),
            "{place}: {}\n{}\n{}{}",
            output.status,
            block.text,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if block.text.lines().all(sets_something) {
            self.set += &format!("{}\n", block.text);
        }
        Ok(())
    }
}

/// `NS=ml-platform REG=contoso-models`
fn sets_something(line: &str) -> bool {
    line.split_whitespace().all(|word| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        })
    })
}

/// What a page takes for granted before a block of this heading.
async fn prepare(testbed: &Testbed, block: &Block) -> Result<()> {
    if block.page == "docs/break-glass.md" && block.text.contains("kind: ChangeApproval") {
        // A registry that asks for an approval, and is open again.
        let gate = json!({"spec": {"publicAccess": {"lockdown": {"waitFor": ["Approval"]}}}}).to_string();
        let patch = ["patch", "sreg", REGISTRY, "-n", NAMESPACE, "--type=merge", "-p", &gate];
        testbed.plane.admin_kubectl(&patch).await?;
        testbed.await_state(REGISTRY, &["AwaitingApproval"], LIMIT).await?;
    }
    // Of a registry that the operator has locked nothing is left to do, and `plan` ends well.
    let locked = block.page == "docs/cli.md" || block.heading == "Which evidence was it locked with?";
    if locked {
        testbed.await_state(REGISTRY, &["Locked"], LIMIT).await?;
    }
    Ok(())
}

#[test]
fn what_is_not_run_says_why() -> Result<()> {
    let mut marked = Vec::new();
    for page in PAGES {
        for block in blocks(page)? {
            if let Some(reason) = &block.not_run {
                ensure!(reason.len() > 20, "{page}:{}: {reason:?} is no reason", block.line);
                let first = block.text.lines().next().unwrap_or_default();
                marked.push((page.to_owned(), first.split("  ").next().unwrap_or_default().to_owned()));
            }
        }
    }
    let listed: Vec<(String, String)> = NOT_RUN.map(|(page, line)| (page.to_owned(), line.to_owned())).to_vec();
    assert_eq!(marked, listed);
    Ok(())
}

#[test]
fn every_page_with_commands_is_run() -> Result<()> {
    let mut pages: Vec<PathBuf> = vec!["README.md".into(), "deploy/README.md".into()];
    for folder in ["docs", "docs/decisions"] {
        for entry in std::fs::read_dir(repository().join(folder))? {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                pages.push(Path::new(folder).join(name));
            }
        }
    }
    for page in pages {
        let page = page.to_string_lossy().into_owned();
        if !PAGES.contains(&page.as_str()) && !blocks(&page)?.is_empty() {
            bail!("{page} has commands that no test runs: add it to PAGES");
        }
    }
    Ok(())
}

/// Holds `<word>`, which whoever pastes it asks the shell to read from a file.
fn redirects(text: &str) -> bool {
    let mut inner = text.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    inner.any(|(word, _)| {
        let fits = |c: char| c.is_ascii_lowercase() || c == ' ' || c == '-';
        let letters = |c: char| c.is_ascii_lowercase();
        word.starts_with(letters) && word.ends_with(letters) && word.chars().all(fits)
    })
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, extension, found)?;
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// What somebody has to fill in is in capitals: in each fenced block of a page, and in each text of the crates that speak to people.
#[test]
fn no_placeholder_is_a_redirection_when_it_is_pasted() -> Result<()> {
    let mut wrong = Vec::new();
    let mut pages = vec![repository().join("README.md")];
    for folder in ["docs", "deploy"] {
        files(&repository().join(folder), "md", &mut pages)?;
    }
    for page in &pages {
        let text = std::fs::read_to_string(page)?;
        // Every second part between fences is a block.
        let fenced = text.split("```").skip(1).step_by(2);
        let inline = text.split('`').skip(1).step_by(2).filter(|code| code.contains(' '));
        let blocks = fenced.chain(inline).flat_map(str::lines);
        wrong.extend(
            blocks
                .filter(|line| redirects(line))
                .map(|line| format!("{}: {line}", page.display())),
        );
    }
    let mut sources = Vec::new();
    for of in ["planner", "api", "domain", "runtime", "testbed"] {
        files(&repository().join("crates").join(of).join("src"), "rs", &mut sources)?;
    }
    for source in &sources {
        for line in std::fs::read_to_string(source)?.lines() {
            let comment = line.trim_start().starts_with("//");
            if !comment && line.split('"').skip(1).step_by(2).any(redirects) {
                wrong.push(format!("{}: {line}", source.display()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_readme_and_docs_runs_as_typed() -> Result<()> {
    let testbed = Testbed::start(worlds::demo()?).await?;
    testbed.grant().await?;
    let _agents = testbed.start_agents(true).await?;
    let options = OperatorOptions {
        args: vec![
            format!("--record={}", testbed.path(RECORDED).display()),
            format!("--record-object={NAMESPACE}/{REGISTRY}"),
        ],
        ..OperatorOptions::default()
    };
    let _operator = testbed.start_operator(options).await?;
    let mut shell = Shell::new(&testbed)?;
    let mut run = 0;
    for page in PAGES {
        for block in blocks(page)?.iter().filter(|block| block.not_run.is_none()) {
            prepare(&testbed, block).await?;
            shell.run(block).await?;
            run += 1;
        }
    }
    ensure!(run >= 14, "{run} blocks were run");
    Ok(())
}
