//! `--predict` asks before the run, and reveals what the run has shown.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use tests::{DEMOS, Outcome, Run, lessons};

fn predict(command: &str, answers: &str) -> Outcome {
    let (demo, args) = command.split_once(' ').expect("a lesson");
    let mut run = Run::program(demo)
        .args(args.split(' '))
        .args(["--predict"])
        .start();
    run.write(answers);
    run.finish()
}

#[test]
fn what_was_said_stands_beside_what_the_run_has_shown() {
    let run = predict("fork-demo returns-twice --children 3", "3\n0\n").expect_status(0);
    let question = "With --children 3: how many times does fork() return, in all processes?";
    assert!(run.stderr.starts_with(question), "{run:#?}");
    let revealed = format!("\n  {question}\n      you said 3; this run: 6\n");
    assert!(run.stdout.contains(&revealed), "{run:#?}");
}

#[test]
fn a_wrong_prediction_changes_no_status_and_json_has_it() {
    let run = predict("pool-demo tasks --work-ms 1 --workers 2 --json", "7\n");
    let prediction = run.expect_status(0).summary()["predictions"][0].clone();
    let question = "5 tasks on 2 workers: how many run at once, at most?";
    assert_eq!(prediction["question"], question);
    assert_eq!(prediction["prediction"], "7");
    assert!(prediction["answer"].as_i64().is_some_and(|most| most <= 2));
}

#[test]
fn a_race_is_run_five_times() {
    let args = "lock-demo balance --threads 4 --iterations 1000 --json";
    let run = predict(args, "cannot be known beforehand\n0\n").expect_status(0);
    let predictions = run.summary()["predictions"].clone();
    let outcomes = predictions[0]["outcomes"].as_array().expect("outcomes");
    assert_eq!(outcomes.len(), 5);
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome == "0" || outcome == "not 0"),
        "{outcomes:?}"
    );
    let all_the_same = outcomes.iter().all(|outcome| *outcome == outcomes[0]);
    let answer = &predictions[0]["answer"];
    assert_eq!(all_the_same, answer == &outcomes[0]);
    assert_eq!(!all_the_same, answer == "cannot be known beforehand");
    assert_eq!(predictions[1]["answer"], 0);
}

#[test]
fn what_is_no_answer_is_refused_before_the_run() {
    for (command, answer) in [
        ("fork-demo returns-twice", "many"),
        ("fork-demo returns-twice", ""),
        ("lock-demo balance", "17"),
        ("process-demo run", "somewhere"),
    ] {
        let run = predict(command, &format!("{answer}\n")).expect_status(2);
        assert_eq!(run.stdout, "");
        assert!(
            run.stderr.contains("is not an answer; expected: "),
            "{run:#?}"
        );
    }
    let run = Run::program("fork-demo").args(["all", "--predict"]).run();
    assert!(
        run.expect_status(2)
            .stderr
            .contains("take one lesson, not all")
    );
}

#[test]
fn without_answers_the_questions_of_every_lesson_are_shown_and_answered() {
    for demo in DEMOS {
        for lesson in lessons(demo) {
            let run = predict(&format!("{demo} {lesson} --json"), "").expect_status(0);
            let summary = run.summary();
            let predictions = summary["predictions"].as_array().expect("questions");
            assert!((1..=3).contains(&predictions.len()), "{demo} {lesson}");
            for prediction in predictions {
                let question = prediction["question"].as_str().expect("a question");
                assert!(!question.contains('{'), "{question}");
                // It is wrapped for a terminal.
                let asked = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(asked.contains(question), "{run:#?}");
                assert!(prediction["prediction"].is_null());
                assert!(!prediction["answer"].is_null(), "{prediction}");
            }
        }
    }
}
