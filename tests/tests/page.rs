//! The page of a run, in a real browser.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a test fails by it")]

#[path = "page/browser.rs"]
mod browser;

use browser::{Browser, axe};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::{DEMOS, Outcome, Run, python3, workspace};
use thirtyfour::Key;

/// A page, and what else the same run gave.
struct Page {
    folder: TempDir,
    events: Vec<Value>,
    svg: String,
}

impl Page {
    /// The page of one lesson.
    fn of(demo: &str, words: &str) -> Self {
        let run = Run::program(demo).args(words.split_whitespace());
        Self::made_by(run, [])
    }

    /// That of a run with these last words.
    fn made_by(run: Run, words: impl IntoIterator<Item = OsString>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [html, svg] = ["html", "svg"].map(|kind| {
            let file = folder.path().join(format!("run.{kind}"));
            [format!("--{kind}"), file.to_string_lossy().into_owned()]
        });
        let run = run.args(html).args(&svg).args(["--json"]).args(words);
        let run = run.run().expect_status(0);
        let mut events = run.json();
        events.pop(); // the summary
        let svg = std::fs::read_to_string(&svg[1]).expect("a picture");
        Self {
            folder,
            events,
            svg,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("run.html")
    }
}

/// A program of Python's under watch, and its arguments.
fn watched(words: &str) -> Option<Page> {
    let (script, arguments) = words.split_once(' ').unwrap_or((words, ""));
    let script = workspace().join("tests/python/watched").join(script);
    let program = [OsString::from("--"), python3()?.into(), script.into()];
    let arguments = arguments.split_whitespace().map(OsString::from);
    let program = program.into_iter().chain(arguments);
    Some(Page::made_by(
        Run::program("process-demo").args(["watch"]),
        program,
    ))
}

/// Reveals all runs, without answers.
const SHOW: &str = "document.getElementById('show-all').click()";

/// Opens a page and reveals its runs.
fn open(browser: &Browser, page: &Page) {
    browser.open(&page.file());
    browser.run(SHOW);
}

/// How many there are of each class in a picture.
fn classes<'a>(all: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for class in all {
        *counts.entry(class.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn the_site_is_self_contained_and_open_to_all() {
    let (Some(browser), Some(axe)) = (Browser::start(), axe()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let site = folder.path().join("site");
    // What an interrupted run leaves: the beginning of an index, and an empty page.
    std::fs::create_dir(&site).expect("a folder");
    std::fs::write(site.join("pool-demo.html"), "").expect("written");
    let run = Run::program("examples/notes").args(["--out".as_ref(), site.as_os_str()]);
    let _ = run.run().expect_status(0);
    let mut pages: Vec<_> = DEMOS
        .iter()
        .map(|demo| site.join(format!("{demo}.html")))
        .collect();
    pages.push(site.join("index.html"));
    let watched = watched("zombie.py");
    pages.extend(watched.as_ref().map(Page::file));
    for page in &pages {
        let name = page.display();
        let bytes = page.metadata().expect("a file").len();
        assert!(bytes < 500_000, "{name}: {bytes} bytes");
        for colours in ["light", "dark"] {
            browser.show_on("screen", ("prefers-color-scheme", colours));
            browser.open(page);
            assert_eq!(browser.requests(), [format!("file://{name}")]);
            check_access(&browser, &axe, page); // with the questions
            browser.run("document.getElementById('show-all')?.click()");
            check_access(&browser, &axe, page);
            assert_eq!(browser.requests(), Vec::<String>::new(), "{name}");
            assert_eq!(browser.console(), Vec::<String>::new(), "{name}");
        }
    }
    browser.open(&site.join("index.html"));
    browser.screenshot("index");
    let links = browser.run("return [...document.querySelectorAll('a')].map((link) => link.href)");
    let links: BTreeSet<&str> = links
        .as_array()
        .expect("links")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        links.len(),
        tests::all_lessons().len(),
        "each lesson has one: {links:?}"
    );
    for link in links {
        let (page, lesson) = link
            .trim_start_matches("file://")
            .split_once('#')
            .expect("a lesson");
        browser.open(page.as_ref());
        let script = format!(
            "const player = Player.all.find((player) => player.article.id === {lesson:?});
             player.reveal();
             return player.picture.shapes.length"
        );
        assert!(browser.run(&script).as_u64() > Some(0), "{link}");
    }
    let notes = std::fs::read_to_string(site.join("index.html")).expect("the index");
    assert_eq!(notes.matches("✘</span>").count(), 0);
}

#[test]
fn a_folder_that_holds_anything_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let beside = folder.path();
    // Demos that write their page and have no lesson.
    for name in DEMOS {
        let script = format!("cp {}/page.html \"$6\"; exit 2", beside.display());
        executable(&beside.join(name), &script);
    }
    let page = Page::of("fork-demo", "");
    std::fs::copy(page.file(), beside.join("page.html")).expect("copied");
    let site = beside.join("site");
    let program = notes_in(beside);
    let notes = || write_site(&program, &site);
    for _ in 0..2 {
        let _ = notes().expect_status(0); // it takes the place of its own pages
        assert!(site.join("lock-demo.html").exists());
    }
    let (mine, index) = (site.join("mine"), site.join("index.html"));
    std::fs::write(&mine, "mine").expect("written");
    let refused = notes().expect_status(2);
    let whose = format!("this program has not written {}", mine.display());
    assert!(refused.stderr.contains(&whose), "{refused:#?}");
    std::fs::remove_file(&mine).expect("removed");
    std::fs::write(&index, "mine").expect("written");
    assert!(notes().expect_status(2).stderr.contains("index.html"));
    assert_eq!(std::fs::read_to_string(&index).expect("there"), "mine");
    assert!(site.join("fork-demo.html").exists(), "nothing was touched");
    std::fs::remove_dir_all(&site).expect("removed");
    std::fs::write(&site, "mine").expect("written");
    assert!(notes().expect_status(1).stderr.contains("Not a directory"));
}

/// A copy of the program that writes the site, in a folder where demos of our own stand.
fn notes_in(folder: &Path) -> PathBuf {
    std::fs::create_dir(folder.join("examples")).expect("a folder");
    let copy = folder.join("examples/notes");
    std::fs::copy(tests::program("examples/notes"), &copy).expect("copied");
    copy
}

/// Runs such a copy, without cargo, so that it takes the demos beside it.
fn write_site(notes: &Path, site: &Path) -> Outcome {
    let run = Run::command("env").args(["-u", "CARGO"]).args([notes]);
    run.args(["--out".as_ref(), site.as_os_str()]).run()
}

/// Writes a script of the shell that can be executed.
fn executable(file: &Path, script: &str) {
    std::fs::write(file, format!("#!/bin/sh\n{script}\n")).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(file, mode).expect("executable");
}

#[test]
fn a_demo_that_fails_does_not_keep_the_others_from_the_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let beside = folder.path();
    // Demos of our own, which stand beside a copy of the program.
    let demo = |name: &str, script: &str| executable(&beside.join(name), script);
    let summary = |lesson: &str, ok: bool| {
        format!(r#"echo '{{"summary":{{"lesson":"{lesson}","ok":{ok}}}}}'"#)
    };
    demo("fork-demo", "echo no fork \\<here\\> >&2; exit 2");
    demo(
        "process-demo",
        &format!("{}; exit 1", summary("run", false)),
    );
    demo("pool-demo", "printf '{\"summary\":{\"les'; kill -9 $$");
    demo("thread-demo", &summary("ids", true));
    demo("lock-demo", &summary("balance", true));
    let (notes, site) = (notes_in(beside), beside.join("site"));
    let _ = write_site(&notes, &site).expect_status(1);
    let index = std::fs::read_to_string(site.join("index.html")).expect("an index");
    for said in [
        "fork-demo tree: no fork &lt;here&gt;",
        r#"✘</span> <a href="process-demo.html#run">"#,
        r#"✘</span> <a href="pool-demo.html#tasks">"#,
        r#"✔</span> <a href="thread-demo.html#ids">"#,
        r#"✔</span> <a href="lock-demo.html#balance">"#,
    ] {
        assert!(index.contains(said), "{said}: {index}");
    }

    // One that cannot do some of its lessons here, and failed in another.
    for name in DEMOS {
        demo(
            name,
            &format!("{}; exit 2", summary("tree", name != "fork-demo")),
        );
    }
    let _ = write_site(&notes, &site).expect_status(1);
}

#[test]
fn a_run_that_was_cut_off_does_not_take_the_others_from_the_page() {
    // What a lesson hands on is a file, too; the page itself goes into a pipe.
    let script = "mkfifo f; cat f > page & prlimit --fsize=20000 {fork-demo} all --html f > /dev/null 2> said; \
                  echo $?; wait; cat page; cat said >&2; rm f page said";
    let run = Run::shell(script).run().expect_status(0);
    let page = run.stdout.strip_prefix("1\n").expect("status 1");
    let data = page.split(r#"id="run-data">"#).nth(1).expect("data");
    let data = data.split("</script>").next().expect("its end");
    let runs: Vec<Value> = serde_json::from_str(data).expect("JSON");
    assert_eq!(runs.len(), 10, "{}", run.stderr);
    let ended = |run: &&Value| run["ended"] == "exited with status 1";
    let lost = runs.iter().filter(ended).count();
    assert!((1..10).contains(&lost), "{lost}: {}", run.stderr);
}

#[test]
fn a_signal_ends_the_writing_of_a_page() {
    // The reader takes one byte and no more.
    let script = "mkfifo f; exec 9<> f; {fork-demo} all --html f > /dev/null 2>&1 & head -c 1 <&9 > /dev/null; \
                  kill -TERM $!; wait $!; echo $?; rm f";
    let run = Run::shell(script).run().expect_status(0);
    assert_eq!(run.stdout, "143\n", "{run:#?}");
}

/// Asks the checker for what it calls serious or critical.
fn check_access(browser: &Browser, axe: &str, page: &Path) {
    let script = "const done = arguments[1];
        if (!window.axe) (0, eval)(arguments[0]);
        axe.run().then((found) => done(found.violations
            .filter((one) => ['serious', 'critical'].includes(one.impact))
            .map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 300)} ${one.nodes[0].failureSummary}`)))
           .catch((error) => done([String(error)]))";
    let found = browser.run_with(json!(axe), script);
    assert_eq!(found, json!([]), "{}", page.display());
}

#[test]
fn stepping_visits_every_event_and_ends_in_the_picture() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let headlines = DEMOS.map(|demo| (demo, Page::of(demo, "")));
    let watched = watched("zombie.py").map(|page| ("watch", page));
    for (demo, page) in headlines.into_iter().chain(watched) {
        open(&browser, &page);
        let happened = page.events.iter().filter(|event| event["ph"] != "M");
        let happened: Vec<&Value> = happened.collect();
        let at = |index: usize| {
            let count = happened.len();
            let now = browser.text(".now");
            assert!(
                now.starts_with(&format!("event {index} of {count}: ")),
                "{demo}: {now}"
            );
            let report = index.checked_sub(1).map(|last| happened[last]);
            if let Some(report) = report.filter(|event| event["cat"] == "report") {
                let text = report["name"].as_str().unwrap_or_default();
                assert!(now.ends_with(text), "{demo}: {now}, not {text}");
                assert_eq!(browser.text(".transcript .current .what"), text);
            }
        };
        browser.press(&[Key::Home]);
        at(0);
        // What is seen at each event, on the way to the end and back.
        let mut seen = vec![(picture_of(&browser), cursors(&browser))];
        for index in 1..=happened.len() {
            browser.press(&[Key::Right]);
            at(index);
            seen.push((picture_of(&browser), cursors(&browser)));
        }
        assert_eq!(picture_of(&browser), picture_in(&page.svg), "{demo}");
        for index in (0..happened.len()).rev() {
            browser.press(&[Key::Left]);
            at(index);
            let again = (picture_of(&browser), cursors(&browser));
            assert_eq!(again, seen[index], "{demo}, event {index}");
        }
        browser.press(&[Key::End]);
        at(happened.len());
        assert_eq!(picture_of(&browser), picture_in(&page.svg), "{demo}");
    }
}

type Picture = (Vec<String>, BTreeMap<String, usize>, Vec<String>);

/// What the browser shows: the labels of the lanes, how many shapes of each kind, and what
/// is told of them.
fn picture_of(browser: &Browser) -> Picture {
    let seen = browser.run(
        "const shown = (selector) =>
            [...document.querySelectorAll(`.picture ${selector}`)].filter((node) => !node.matches('.to-come'));
         const kinds = ['life', 'zombie', 'slice', 'span', 'wait', 'report', 'killed', 'exited',
            'still-there', 'moment', 'arrow'];
         return {
            lanes: shown('.name').map((node) => node.querySelector('title').textContent),
            kinds: kinds.flatMap((kind) => shown(`.${kind}`).map(() => kind)),
            told: shown('*').filter((node) => kinds.some((kind) => node.classList.contains(kind)))
                .flatMap((node) => node.querySelector('title')?.textContent ?? []),
         }",
    );
    let texts = |name: &str| {
        let texts = seen[name].as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let mut told: Vec<String> = texts("told").into_iter().map(str::to_owned).collect();
    told.sort();
    let lanes = texts("lanes").into_iter().map(str::to_owned).collect();
    (lanes, classes(texts("kinds").into_iter()), told)
}

/// The same of an SVG.
fn picture_in(svg: &str) -> Picture {
    let document = roxmltree::Document::parse(svg).expect("XML");
    let nodes = document.descendants();
    let with_class = nodes.filter_map(|node| Some((node.attribute("class")?, node)));
    let (mut lanes, mut told, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (class, node) in with_class {
        match class {
            "lane" => lanes.push(node.text().unwrap_or_default().to_owned()),
            "cpu" | "measured" => {}
            kind => {
                kinds.push(kind);
                let title = node.children().find(|child| child.has_tag_name("title"));
                told.extend(title.and_then(|title| title.text()).map(str::to_owned));
            }
        }
    }
    told.sort();
    (lanes, classes(kinds.into_iter()), told)
}

#[test]
fn play_advances_the_clock_and_ends_at_the_end() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = Page::of("fork-demo", "");
    for motion in ["no-preference", "reduce"] {
        browser.show_on("screen", ("prefers-reduced-motion", motion));
        open(&browser, &page);
        // Every time that is shown until the run is over.
        let times = browser.run_with(
            Value::Null,
            "const done = arguments[1], seen = [], clock = document.querySelector('.clock');
             const speed = document.querySelector('.speed');
             speed.value = speed.options[1].value;
             document.querySelector('.play').click();
             const watch = new MutationObserver(() => {
                seen.push(parseFloat(clock.textContent));
                if (document.querySelector('.play').textContent === 'Play') done(seen);
             });
             watch.observe(clock, {childList: true, characterData: true, subtree: true});",
        );
        let times = times.as_array().expect("times").iter();
        let times: Vec<f64> = times.filter_map(Value::as_f64).collect();
        assert!(times.len() > 3 && times.is_sorted(), "{motion}: {times:?}");
        let clock = browser.text(".clock");
        let (now, end) = clock.split_once(" of ").expect("two times");
        assert_eq!(now, end, "{motion}");
        if motion == "reduce" {
            let shown = |time: &f64| {
                let of = |event: &&Value| {
                    event["ts"]
                        .as_f64()
                        .is_some_and(|ts| (ts / 1e3 - time).abs() < 6e-4)
                };
                page.events.iter().any(|event| of(&event))
            };
            assert!(
                times.iter().skip(1).all(shown),
                "a step is an event: {times:?}"
            );
        }
        browser.press(&[Key::Home]);
        browser.press(&[' ']);
        assert_eq!(browser.text(".play"), "Pause");
        browser.press(&[' ']);
        assert_eq!(browser.text(".play"), "Play");
    }
}

#[test]
fn one_clock_goes_whoever_plays_and_pauses_how_often() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = Page::of("fork-demo", "");
    open(&browser, &page);
    let times = browser.run_with(
        Value::Null,
        "const done = arguments[1], player = Player.all[0], seen = [];
         player.toEvent(5);
         player.play();
         requestAnimationFrame(() => {
            player.toEvent(-1);
            player.play(); // before the next frame
            let left = 30;
            const look = () => {
                seen.push(player.now.time);
                left -= 1;
                if (left) requestAnimationFrame(look); else done(seen);
            };
            requestAnimationFrame(look);
         });",
    );
    let times = times.as_array().expect("times").iter();
    let times: Vec<f64> = times.filter_map(Value::as_f64).collect();
    assert!(times.len() == 30 && times.is_sorted(), "{times:?}");
}

#[test]
fn on_a_page_of_many_runs_the_keys_are_for_the_one_in_sight() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.html");
    let run = Run::program("fork-demo").args(["all", "--html"]);
    let _ = run.args([&file]).run().expect_status(0);
    browser.resize(1280, 900);
    browser.open(&file);
    browser.run(SHOW);
    browser.press(&[' ']);
    let playing =
        "return Player.all.filter((player) => player.isPlaying).map((player) => player.data.name)";
    assert_eq!(browser.run(playing), json!(["returns-twice"]));
    browser.run("document.getElementById('family').scrollIntoView(); Player.all[1].play()");
    assert_eq!(browser.run(playing), json!(["family"]), "one at a time");
    browser.press(&[Key::Home]);
    assert_eq!(browser.run(playing), json!([]));
    // An address that is none, or is no name on the page, changes nothing.
    for hash in ["#%E0%A4%A", "#nobody", "#keys"] {
        browser.open(format!("{}{hash}", file.display()).as_ref());
        assert_eq!(browser.run("return Player.all.length"), 10, "{hash}");
        assert_eq!(browser.console(), Vec::<String>::new(), "{hash}");
    }
}

/// Where the cursors stand: name, state, line.
fn cursors(browser: &Browser) -> Vec<(String, String, u64)> {
    let found = browser.run(
        "const player = Player.all[0];
         return player.cursors.flatMap((cursor, lane) => cursor
            ? [[player.steps.lanes[lane].name, cursor.state, cursor.at.line,
                player.source?.cursors[lane].hidden ?? false]] : [])",
    );
    let cursors = found.as_array().expect("cursors").iter().map(|cursor| {
        assert_eq!(cursor[3], false, "it is shown");
        let text = |index: usize| cursor[index].as_str().unwrap_or_default().to_owned();
        (text(0), text(1), cursor[2].as_u64().unwrap_or(0))
    });
    cursors.collect()
}

/// The number of the line of a lesson that contains this.
fn line_of(lesson: &str, text: &str) -> u64 {
    let source = std::fs::read_to_string(workspace().join(lesson)).expect("a lesson");
    let lines = source.lines().zip(1..);
    let found = lines.clone().filter(|(line, _)| line.contains(text));
    let numbers: Vec<u64> = found.map(|(_, number)| number).collect();
    assert_eq!(numbers.len(), 1, "{text} in {lesson}");
    numbers[0]
}

#[test]
fn after_fork_two_cursors_walk_one_into_each_branch() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = Page::of("fork-demo", "");
    open(&browser, &page);
    let lesson = "fork-demo/src/returns_twice.rs";
    let [child, parent] = ["0 => start.in_child", r#"moment!("→ {returned}");"#];
    let child = line_of(lesson, child);
    let parent = {
        let source = std::fs::read_to_string(workspace().join(lesson)).expect("a lesson");
        source
            .lines()
            .position(|line| line.contains(parent))
            .expect("a line") as u64
            + 1
    };
    let (mut both, mut in_child, mut in_parent) = (false, false, false);
    let happened = page.events.iter().filter(|event| event["ph"] != "M");
    browser.press(&[Key::Home]);
    let mut forked = false;
    let mut reaped = false;
    for event in happened {
        browser.press(&[Key::Right]);
        forked |= event["cat"] == "started";
        reaped |= event["cat"] == "reaped";
        let at = cursors(&browser);
        if forked && !reaped {
            assert_eq!(at.len(), 2, "after fork: {at:?}");
            both = true;
        }
        let stands = |who: &str, line| at.iter().any(|(name, _, at)| name == who && *at == line);
        in_child |= stands("child", child);
        in_parent |= stands("parent", parent);
    }
    assert!(both && in_child && in_parent);
}

#[test]
fn with_the_lock_held_one_is_inside_and_the_others_wait() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = Page::of("lock-demo", "exclusive --threads 8");
    open(&browser, &page);
    let lesson = "lock-demo/src/exclusive.rs";
    let waits = line_of(lesson, r#"waiting!("wait")"#);
    let inside = line_of(lesson, r#"span!("hold")"#)..=line_of(lesson, "holding.end()");
    let (mut most_inside, mut most_waiting) = (0, 0);
    browser.press(&[Key::Home]);
    for _ in page.events.iter().filter(|event| event["ph"] != "M") {
        browser.press(&[Key::Right]);
        let at = cursors(&browser);
        let is_inside = |state: &str, line| inside.contains(&line) && state == "at";
        let within = at
            .iter()
            .filter(|(_, state, line)| is_inside(state, *line))
            .count();
        let waiting = at
            .iter()
            .filter(|(_, state, line)| *line == waits && state == "waiting");
        if within == 1 {
            most_waiting = most_waiting.max(waiting.count());
        }
        most_inside = most_inside.max(within);
    }
    assert_eq!((most_inside, most_waiting), (1, 7));
}

#[test]
fn a_prediction_is_compared_by_keyboard_alone() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = Page::of("fork-demo", "");
    for (number, arrows, marks) in [("2", 0, ["✔ 2", "✔ 0"]), ("1", 1, ["✘ 1", "✘ its own PID"])]
    {
        browser.open(&page.file());
        assert_eq!(
            browser.run("return document.querySelector('.revealed').hidden"),
            true
        );
        // To the number; to the choices; to the button.
        let number = number.chars().next().unwrap_or_default();
        browser.press(&[Key::Tab]);
        browser.press(&[number]);
        browser.press(&[Key::Tab]);
        browser.press(&[' ']);
        browser.press(&vec![Key::Down; arrows]);
        browser.press(&[Key::Tab, Key::Enter]);
        let said = browser.run(
            "return [...document.querySelectorAll('.predictions tbody tr')].map((row) => row.cells[1].textContent)",
        );
        assert_eq!(said, json!(marks));
        assert_eq!(browser.text(".predictions tbody tr td:nth-child(3)"), "2");
        // The keys go on working where the reader is now.
        browser.press(&[Key::Home, Key::Right]);
        assert!(browser.text(".now").starts_with("event 1 of "));
    }
    browser.open(&page.file());
    browser.press(&[Key::Tab, Key::Tab, Key::Tab, Key::Tab]);
    browser.press(&[Key::Enter]);
    assert_eq!(
        browser.run("return document.querySelector('.revealed').hidden"),
        false
    );
    assert_eq!(
        browser.run("return document.querySelector('.predictions').hidden"),
        true
    );
}

#[test]
fn no_name_and_no_text_runs_anything() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let name = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u{202e}'\"\u{1}";
    let run = Run::program("process-demo").args(["run", "--name", name]);
    let lesson = Page::made_by(run, []);
    for page in [Some(lesson), watched("hostile.py")].into_iter().flatten() {
        open(&browser, &page);
        browser.press(&[Key::Home]);
        let title = browser.run("return document.title");
        let steps = "const player = Player.all[0];
            for (const _ of player.steps.events) player.toEvent(player.now.index + 1);
            return [document.querySelectorAll('script').length,
                document.querySelectorAll('img, iframe, object').length,
                document.documentElement.scrollWidth <= document.documentElement.clientWidth]";
        assert_eq!(browser.run(steps), json!([2, 0, true]));
        assert_eq!(browser.run("return document.title"), title);
        assert_ne!(title, "owned");
        assert_eq!(browser.console(), Vec::<String>::new());
        // Nor would a script run that came in all the same.
        browser.run(
            "const script = document.createElement('script');
             script.textContent = \"document.title = 'owned'\";
             document.body.append(script)",
        );
        assert_eq!(browser.run("return document.title"), title);
        assert!(
            browser
                .console()
                .join(" ")
                .contains("Content Security Policy")
        );
    }
}

#[test]
fn it_fits_every_width_and_a_sheet_of_paper() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let pages = [
        ("fork", Page::of("fork-demo", "returns-twice --children 2")),
        ("lock", Page::of("lock-demo", "exclusive --threads 8")),
        ("pool", Page::of("pool-demo", "")),
        ("cost", Page::of("thread-demo", "cost")),
    ];
    let fits = "const { scrollWidth, clientWidth } = document.documentElement;
        return scrollWidth <= clientWidth";
    for (name, page) in &pages {
        for (width, height) in [(390, 844), (1280, 900), (2560, 1440)] {
            for colours in ["light", "dark"] {
                browser.show_on("screen", ("prefers-color-scheme", colours));
                browser.resize(width, height);
                open(&browser, page);
                for _ in 0..12 {
                    browser.press(&[Key::Left]);
                }
                assert_eq!(browser.run(fits), true, "{name} at {width}");
                browser.screenshot(&format!("{name}-{width}-{colours}"));
            }
        }
        // In the middle of the run, and while it is played.
        browser.show_on("screen", ("prefers-color-scheme", "dark"));
        open(&browser, page);
        browser.press(&[Key::Home]);
        browser.press(&[' ']);
        browser.run("dispatchEvent(new Event('beforeprint'))");
        browser.show_on("print", ("prefers-color-scheme", "dark"));
        browser.resize(718, 1000); // A4 less its margins
        assert_eq!(browser.run(fits), true, "{name} on paper");
        let shown = browser.run(
            "const seen = (selector) => document.querySelector(selector).checkVisibility();
             return [seen('.picture'), seen('.ask'), seen('.controls'), seen('.checks'),
                document.querySelectorAll('.to-come').length]",
        );
        assert_eq!(shown, json!([true, false, false, true, 0]), "{name}");
        browser.screenshot(&format!("{name}-print"));
        browser.run("dispatchEvent(new Event('afterprint'))");
        let clock = browser.text(".clock");
        let (now, end) = clock.split_once(" of ").expect("two times");
        assert_ne!(now, end, "{name}: where the reader was");
        assert!(browser.print().starts_with(b"%PDF"));
    }
}

#[test]
fn what_is_too_much_is_left_out_and_the_page_says_so() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = Page::of("fork-demo", "returns-twice --children 60");
    open(&browser, &page);
    let lanes = browser.run("return document.querySelectorAll('.picture .name').length");
    assert_eq!(lanes, 40);
    let told = browser.text(".left-out");
    assert!(
        told.starts_with("The 21 lanes that lived shortest are left out"),
        "{told}"
    );

    for script in ["talkative.py 40 300 0", "talkative.py 4 3000 1"] {
        let Some(page) = watched(script) else {
            return;
        };
        open(&browser, &page);
        let told = browser.text(".left-out");
        assert!(told.contains("The first 10000 of "), "{script}: {told}");
        browser.press(&[Key::End]);
        let now = browser.text(".now");
        assert!(now.starts_with("event 10000 of 10000: "), "{script}: {now}");
    }
}
