//! A real browser: Chromium, told what to do through ChromeDriver.

use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tests::{Run, Running, tool};
use thirtyfour::common::print::PrintParameters;
use thirtyfour::error::WebDriverResult;
use thirtyfour::{CapabilitiesHelper, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};
use tokio::runtime::Runtime;

/// One window of a browser, and the driver that started it. Both end when this is dropped.
pub struct Browser {
    runtime: Runtime,
    window: WebDriver,
    driver: Option<Running>,
    port: u16,
    /// For its temporary files.
    _folder: TempDir,
}

/// Without them it asks the network for all kinds of things, and refuses to start as root.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage", // which may be small
];

impl Browser {
    /// Starts one; `None` where there is none.
    pub fn start() -> Option<Self> {
        if !(tool("chromium") && tool("chromedriver")) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (driver, port) = start_driver(folder.path());

        let mut wanted = DesiredCapabilities::chrome();
        for flag in FLAGS {
            wanted.add_arg(flag).expect("a flag");
        }
        let logs = json!({"browser": "ALL", "performance": "ALL"});
        wanted.set("goog:loggingPrefs", logs).expect("an option");
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        let window = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted);
        let window = runtime.block_on(window).expect("a window");
        Some(Self {
            runtime,
            window,
            driver: Some(driver),
            port,
            _folder: folder,
        })
    }

    fn wait<T>(&self, command: impl Future<Output = WebDriverResult<T>>) -> T {
        self.runtime.block_on(command).expect("WebDriver")
    }

    /// Opens a file. What was logged before is forgotten.
    pub fn open(&self, page: &Path) {
        self.logged("browser");
        self.logged("performance");
        self.wait(self.window.goto(format!("file://{}", page.display())));
    }

    /// What the body of a function returns.
    pub fn run(&self, script: &str) -> Value {
        let run = self.wait(self.window.execute(script, Vec::new()));
        run.json().clone()
    }

    /// The same for one that calls `arguments[1]` when it is done.
    pub fn run_with(&self, argument: Value, script: &str) -> Value {
        let run = self.wait(self.window.execute_async(script, vec![argument]));
        run.json().clone()
    }

    /// Presses keys, one after the other.
    pub fn press(&self, keys: &[impl Into<char> + Clone]) {
        for key in keys {
            let press = self.window.action_chain().send_keys(key.clone().into());
            self.wait(press.perform());
        }
    }

    /// The text of the element that this selector finds first.
    pub fn text(&self, selector: &str) -> String {
        let text = self.run(&format!(
            "return document.querySelector({selector:?}).textContent"
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    pub fn resize(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// As if the page were shown on such a medium (`screen`, `print`) to a reader with
    /// this preference.
    pub fn show_on(&self, medium: &str, (name, value): (&str, &str)) {
        let features = json!([{"name": name, "value": value}]);
        let wanted = json!({"media": medium, "features": features});
        self.devtools("Emulation.setEmulatedMedia", &wanted);
    }

    /// Prints it as PDF.
    pub fn print(&self) -> Vec<u8> {
        self.wait(self.window.print_page(PrintParameters::default()))
    }

    /// Takes a picture of what is seen, to be looked at.
    pub fn screenshot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&folder).expect("a folder");
        self.wait(self.window.screenshot(&folder.join(format!("{name}.png"))));
    }

    /// What the console has said.
    pub fn console(&self) -> Vec<String> {
        self.logged("browser")
    }

    /// The addresses that were asked for.
    pub fn requests(&self) -> Vec<String> {
        let messages = self.logged("performance").into_iter();
        let requests = messages.filter_map(|message| {
            let message: Value = serde_json::from_str(&message).ok()?;
            let message = &message["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str();
            url.filter(|_| is_request).map(str::to_owned)
        });
        requests.collect()
    }

    fn logged(&self, kind: &str) -> Vec<String> {
        let entries = self.wait(self.window.get_log(kind)).into_iter();
        entries.map(|entry| entry.message).collect()
    }

    fn devtools(&self, method: &str, parameters: &Value) -> Value {
        self.wait(self.window.cdp().send_raw(method, parameters))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let closed = self.runtime.block_on(self.window.clone().quit());
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut driver| {
            let request = b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
            driver.write_all(request)
        });
        if std::thread::panicking() {
            return; // that tells more
        }
        closed.expect("the window is closed");
        asked.expect("the driver is there");
        let driver = self.driver.take().expect("only dropped once");
        let _ = driver.finish().expect_status(0);
    }
}

/// Starts a driver, and finds out at which port it listens. It takes a free port of IPv4 and
/// then the same one of IPv6, which may be taken: then it ends, and another one is started.
fn start_driver(temporary: &Path) -> (Running, u16) {
    for _ in 0..20 {
        let driver = Run::command("chromedriver").args(["--port=0"]);
        // It leaves files behind; and some of what it starts ends a moment after it.
        let driver = driver.env("TMPDIR", &temporary.to_string_lossy());
        let mut driver = driver.to_be_killed().start();
        if let Some(line) = driver.find_line("started successfully on port") {
            let port = line.trim_end().trim_end_matches('.').rsplit(' ').next();
            let port = port.and_then(|port| port.parse().ok()).expect("a port");
            return (driver, port);
        }
        let _ = driver.finish();
    }
    panic!("chromedriver does not start");
}

/// The source of axe-core, an accessibility checker; `None` where npm is missing.
pub fn axe() -> Option<String> {
    const AXE: &str = "axe-core@4.14.1";
    if !tool("npm") {
        return None;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(AXE);
    let source = folder.join("node_modules/axe-core/axe.min.js");
    if !source.exists() {
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-save", "--prefix"]);
        let status = npm.arg(&folder).arg(AXE).status().expect("npm");
        if !status.success() {
            let _ = std::fs::remove_dir_all(&folder);
            let required = std::env::var_os("REQUIRE_TOOLS").is_some();
            assert!(!required, "npm install {AXE}: {status}");
            return None;
        }
    }
    Some(std::fs::read_to_string(source).expect("axe-core"))
}
