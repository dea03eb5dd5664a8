//! The world that `KEEP=1 make demo` leaves up.

use anyhow::{Result, ensure};
use sreg_stand::{OperatorOptions, Stand, worlds};

#[tokio::test]
async fn the_operators_token_for_azure_is_renewed_in_its_place() -> Result<()> {
    let stand = Stand::start(worlds::demo()?).await?;
    stand.grant().await?;
    let _operator = stand.start_operator(OperatorOptions::default()).await?;
    let file = stand.path("azure-token");
    let first = std::fs::read_to_string(&file)?;
    let renewed = stand.renew_azure_token().await?;
    ensure!(renewed == file, "the operator would not find {}", renewed.display());
    let second = std::fs::read_to_string(&file)?;
    ensure!(first != second && second.ends_with('\n'));
    Ok(())
}
