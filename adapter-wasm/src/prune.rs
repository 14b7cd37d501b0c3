//! Which functions of the guest a program can reach: the others are replaced by a trap, so a small program is a small module.

use std::collections::HashSet;

use wasmparser::{BinaryReaderError, ElementItems, FunctionBody, Operator};

/// The guest's functions, and what leads to them.
#[derive(Default)]
pub(crate) struct Calls<'g> {
    bodies: Vec<FunctionBody<'g>>,
    /// Functions that every program needs: the exports.
    roots: Vec<u32>,
    /// Functions of the table, by their place in it; whoever calls through the table may mean any of them.
    table: Vec<u32>,
}

impl<'g> Calls<'g> {
    pub(crate) fn export(&mut self, function: u32) {
        self.roots.push(function);
    }

    pub(crate) fn body(&mut self, body: FunctionBody<'g>) {
        self.bodies.push(body);
    }

    /// Functions of the table from the place `offset` on.
    pub(crate) fn elements(&mut self, offset: u32, items: ElementItems<'_>) -> Result<(), BinaryReaderError> {
        let ElementItems::Functions(functions) = items else { return Ok(()) };
        for (place, function) in functions.into_iter().enumerate() {
            let place = offset as usize + place;
            if self.table.len() <= place {
                self.table.resize(place + 1, u32::MAX);
            }
            self.table[place] = function?;
        }
        Ok(())
    }

    /// The functions that are reachable when of the `optional` places in the table only the `used` ones are ever called.
    pub(crate) fn reachable(&self, optional: &[u32], used: &HashSet<u32>) -> Result<HashSet<u32>, BinaryReaderError> {
        let optional: HashSet<_> = optional.iter().filter(|place| !used.contains(place)).collect();
        let places = self.table.iter().enumerate().filter(|(place, _)| !optional.contains(&(*place as u32)));
        let mut open: Vec<u32> = self.roots.iter().copied().chain(places.map(|(_, function)| *function)).collect();
        let mut reachable = HashSet::new();
        while let Some(function) = open.pop() {
            let Some(body) = self.bodies.get(function as usize) else { continue };
            if !reachable.insert(function) {
                continue;
            }
            for operator in body.get_operators_reader()? {
                if let Operator::Call { function_index } | Operator::RefFunc { function_index } = operator? {
                    open.push(function_index);
                }
            }
        }
        Ok(reachable)
    }
}
