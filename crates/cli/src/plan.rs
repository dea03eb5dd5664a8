//! `plan`: what the operator will do about the objects of files.

mod document;
mod markdown;
mod text;

use anyhow::{Context as _, Result};

use self::document::{ObjectPlan, Plans};
use crate::arguments::{Format, PlanFlags};
use crate::files::prospects;
use crate::{Ended, print};

/// Plans for every object that was asked for.
///
/// # Errors
/// Files cannot be read, an object that was named is not in them, or nobody signs in to Azure.
pub(crate) async fn plan(typed: &PlanFlags) -> Result<Ended> {
    let cloud = typed.from.account.connection.cloud.cloud()?;
    let prospects = prospects(&typed.from, &cloud).await?;
    let objects = prospects.iter().map(|(declared, prospect)| match prospect {
        Ok(prospect) => ObjectPlan::new(declared, prospect),
        Err(violations) => ObjectPlan::invalid(declared, violations),
    });
    let plans = Plans {
        objects: objects.collect(),
    };
    print(&match typed.output {
        Format::Text => text::render(&plans),
        Format::Markdown => markdown::render(&plans),
        Format::Json => format!(
            "{}\n",
            serde_json::to_string_pretty(&plans).context("write the plan as JSON")?
        ),
    })?;
    Ok(plans.ended())
}
