//! The page in a real browser: headless Chromium, and the real aggregator behind it.

#[path = "../page/audit.rs"]
mod audit;
#[path = "../page/live.rs"]
mod live;
#[path = "../page/looks.rs"]
mod looks;
