//! What one pass decided from and what it decided, written down: whoever gets a recording sees the plan being made again, without a
//! cluster and without Azure.

use serde::{Deserialize, Serialize};
use sreg_domain::{Desired, Seen};

use crate::compose::plan;
use crate::plan::Plan;
use crate::render::render;

/// One pass. Goes out and comes in as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// Version of the operator that made it: another one may plan differently.
    pub operator_version: String,
    /// What was desired.
    pub desired: Desired,
    /// What was seen. URLs to poll are without their query, which is a credential of its own.
    pub seen: Seen,
    /// The plan, for people.
    pub plan: String,
}

impl Recording {
    /// Records one pass.
    pub fn new(operator_version: &str, desired: &Desired, seen: &Seen, plan: &Plan) -> Recording {
        let mut seen = seen.clone();
        let operations = seen.azure.operations.iter_mut().map(|o| &mut o.operation.poll_url);
        let reported = seen.object.status.operations.iter_mut().map(|o| &mut o.poll_url);
        operations.chain(reported).for_each(without_query);
        Recording {
            operator_version: operator_version.to_owned(),
            desired: desired.clone(),
            seen,
            plan: render(plan),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Never with what a pass saw: every value of it has a form in JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is none, or one of a version that saw other things; the error names the line and the field.
    pub fn from_json(text: &[u8]) -> Result<Recording, serde_json::Error> {
        let mut recording: Recording = serde_json::from_slice(text)?;
        recording.seen.object.reread();
        Ok(recording)
    }

    /// Makes the plan again.
    pub fn plan_again(&self) -> Plan {
        plan(&self.desired, &self.seen, self.seen.at)
    }
}

fn without_query(url: &mut String) {
    if let Some(at) = url.find('?') {
        url.truncate(at);
    }
}
