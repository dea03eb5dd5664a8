//! Lists of the API server, page by page: each is let go before the next one is asked for, so that memory is bounded by what is kept
//! and not by what others write.

use kube::api::ListParams;
use kube::core::ObjectList;

/// Asks for all pages, of so many items each, and hands over every item.
///
/// # Errors
/// A page cannot be read; what was handed over until then is not all.
pub(crate) async fn each_item<T: Clone, L>(
    page: u32,
    list: impl Fn(ListParams) -> L,
    mut item: impl FnMut(T),
) -> kube::Result<()>
where
    L: Future<Output = kube::Result<ObjectList<T>>>,
{
    let mut params = ListParams::default().limit(page);
    loop {
        let listed = list(params.clone()).await?;
        listed.items.into_iter().for_each(&mut item);
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}
