//! Once nothing disturbs the two any more: grants are given back, their operators take turns, time passes where neither does anything. Then both have to come to
//! rest: a situation comes again, and since it was there before nothing was written to Azure.

use sreg_api::registry::PublicAccess;

use super::{Claimants, State, rules};

/// Far more rounds than any way takes.
const MOST: usize = 120;

impl Claimants {
    /// Whether both come to rest, or what happens instead.
    pub fn comes_to_rest(&self, from: &State) -> Result<(), String> {
        let mut state = from.clone();
        Claimants::give_grants(&mut state);
        let mut met: Vec<(u64, u64)> = Vec::new();
        for _ in 0..MOST {
            if let Some(broken) = &state.broken {
                return Err(format!("on the way {:?} is broken: {}", broken.rule, broken.what));
            }
            let here = state.situation();
            if self.calm.lock().unwrap().contains(&here) {
                break;
            }
            if let Some(at) = met.iter().position(|(known, _)| *known == here) {
                let changed = met[at..].iter().any(|(_, azure)| *azure != met[at].1);
                if changed {
                    return Err(format!("they go on changing what is in Azure: {state:#?}"));
                }
                self.has_what_it_wants(&state)?;
                break;
            }
            met.push((here, state.azure()));
            (0..2).for_each(|k| self.whole_pass(&mut state, k));
            if state.situation() == here {
                state.tick();
            }
            if met.len() == MOST {
                return Err(format!("not at rest after {MOST} rounds: {state:#?}"));
            }
        }
        self.calm.lock().unwrap().extend(met.into_iter().map(|(here, _)| here));
        Ok(())
    }

    /// Whoever holds the registry has what it wants; of the other it is told whose the registry is.
    fn has_what_it_wants(&self, state: &State) -> Result<(), String> {
        for (k, party) in state.parties.iter().enumerate() {
            let world = &party.world;
            if world.gone {
                continue;
            }
            if world.seen.object.deleting {
                return Err(format!("object {k} never ends: {state:#?}"));
            }
            let as_wanted = match world.desired.public_access {
                PublicAccess::Disabled => world.all_closed(),
                PublicAccess::Enabled => world.all_open(),
            };
            let told = ["holds", "holding", "owns"]
                .iter()
                .any(|word| world.message().contains(word));
            if rules::holds(world) && !as_wanted {
                return Err(format!(
                    "object {k} holds the registry, and has not what it wants: {state:#?}"
                ));
            }
            if !rules::holds(world) && !told {
                return Err(format!("object {k} is not told who holds the registry: {state:#?}"));
            }
        }
        Ok(())
    }
}
