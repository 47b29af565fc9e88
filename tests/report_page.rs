//! The report as a browser shows it: Chromium opens it at desktop and phone width, in light
//! and dark. Without Chromium the tests count as ignored.

use hg_tests::{hg, repository};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let browser = browser().filter(|browser| shows_pages(browser));
    if browser.is_none() {
        eprintln!(
            "skipped: no Chromium on PATH that shows a page (Debian: apt-get install chromium)"
        );
    }
    let test = |name: &str, width: u32, dark: bool| {
        let (skipped, browser) = (browser.is_none(), browser.clone().unwrap_or_default());
        Trial::test(name, move || look(&browser, width, dark)).with_ignored_flag(skipped)
    };
    let tests = vec![
        test("a_desktop_shows_the_report_without_overflow_or_errors", 1280, false),
        test("a_dark_desktop_does_too", 1280, true),
        test("a_phone_shows_the_report_without_overflow_or_errors", 390, false),
        test("a_dark_phone_does_too", 390, true),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut all =
        std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name)));
    all.find(|path| path.is_file())
}

/// Whether it runs here at all: containers may keep a browser from starting.
fn shows_pages(browser: &Path) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let page = "<!doctype html><title>not yet</title><script>document.title = \"shown\"</script>";
    let dom = dump(browser, folder.path(), page, false);
    dom.is_ok_and(|(dom, _)| dom.contains("<title>shown</title>"))
}

/// What a page's document is after its scripts, and what the browser logs.
fn dump(
    browser: &Path,
    folder: &Path,
    page: &str,
    dark: bool,
) -> std::io::Result<(String, String)> {
    let path = folder.join("page.html");
    std::fs::write(&path, page)?;
    let mut chromium = Command::new(browser);
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    chromium.args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"]);
    chromium.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    chromium.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)));
    let seen = chromium.arg(format!("file://{}", path.display())).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&seen.stdout), text(&seen.stderr)))
}

/// What a page says of itself: its own width, the window's, and the colour of its ground.
const MEASURE: &str = r#"<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const boxes = [...page.querySelectorAll("body *")].filter(e => !e.closest(".wide, svg"));
  const right = Math.max(...boxes.map(e => e.getBoundingClientRect().right));
  document.title = [
    page.documentElement.scrollWidth, page.documentElement.clientWidth, Math.ceil(right),
    page.querySelectorAll("figure svg").length,
    page.defaultView.getComputedStyle(page.body).backgroundColor,
  ].join(";");
});
</script>"#;

/// Opens the report of a short run in a frame of this width and asks it for its measures.
fn look(browser: &Path, width: u32, dark: bool) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let report = report(folder.path())?;
    let page = std::fs::read_to_string(report)?.replace('&', "&amp;").replace('"', "&quot;");
    let frame = format!(
        "<!doctype html><meta charset=utf-8>\
         <iframe style='width:{width}px;height:900px;border:0' srcdoc=\"{page}\"></iframe>{MEASURE}"
    );
    let (dom, log) = dump(browser, folder.path(), &frame, dark)?;
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    let measures: Vec<&str> =
        title.ok_or_else(|| format!("no measures: {log}"))?.split(';').collect();
    let [scroll, window, right, pictures, ground] = measures[..] else {
        return Err(format!("the page says {measures:?}").into());
    };
    let number = |text: &str| text.parse::<u32>();
    let (scroll, window, right) = (number(scroll)?, number(window)?, number(right)?);
    ensure(window <= width && window + 20 >= width, "the frame has the asked width")?;
    ensure(scroll <= window && right <= window, &format!("{scroll} or {right} > {window} wide"))?;
    // Columns, maps, the plane, changing numbers and curves.
    ensure(number(pictures)? >= 17 + 6 + 1 + 7 + 3, &format!("{pictures} pictures"))?;
    let expected = if dark { "rgb(17, 22, 29)" } else { "rgb(255, 255, 255)" };
    ensure(ground == expected, &format!("the ground is {ground}, expected {expected}"))?;
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    ensure(complaints.is_empty(), &format!("the console says {complaints:?}"))
}

fn ensure(holds: bool, what: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// The report of a short run on the shipped cohort.
fn report(folder: &Path) -> Result<PathBuf, Failed> {
    let run = folder.join("run");
    let paths =
        [repository("data/pbc/pbcseq.csv"), repository("data-schemas/pbc.toml"), run.clone()];
    let [data, schema, out] = paths.map(|path| path.display().to_string());
    let arguments = ["train", "--data", &data, "--schema", &schema, "--out", &out];
    let short = ["--iterations", "2", "--batch-size", "8", "--held-out", "0.2"];
    let output = hg(&[&arguments[..], &short[..]].concat());
    ensure(output.status.success(), &String::from_utf8_lossy(&output.stderr))?;
    Ok(run.join("report/report.html"))
}
