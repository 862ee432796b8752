//! Any text as a configuration: it is refused with problems or means a cluster, it never panics, and what it means can be said:
//! what is wanted of a host, and the configuration with its defaults.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use planekeeper::config::{self, Source};
use planekeeper::desired::desired;
use planekeeper::facts::{Facts, Machine};

fuzz_target!(|text: &str| -> Corpus {
    let source = Source { name: "fuzz.yaml".to_owned(), text: text.to_owned() };
    let machine = Machine {
        hostname: "fuzz".to_owned(),
        default_address: Some("192.0.2.1".parse().expect("an address")),
        ..Machine::default()
    };
    match config::parse(&[source]).complete(&machine, &[]) {
        Ok(loaded) => {
            // What is valid is valid all the way: these two are total.
            assert!(!desired(&loaded.cluster, &Facts::default()).resources.is_empty());
            assert!(!config::print(&loaded).is_empty());
        }
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
    Corpus::Keep
});
