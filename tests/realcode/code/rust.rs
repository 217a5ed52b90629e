//! Orders of a shop.
use std::{collections::HashMap, fmt::{self, Display as Show}, io::*};
use super::stock;
extern crate alloc as heap;
pub mod rules;

pub const LIMIT: usize = 3;
static mut TOTAL: i32 = 0;
pub type Name = String;

/// What one customer wants.
#[derive(Debug)]
pub struct Order<T: Clone> {
    items: Vec<T>,
    name: Name,
}

pub enum Size { Small, Big(u8) }
union Value { i: i32, f: f32 }

pub trait Rule {
    const STRICT: bool;
    fn holds(&self, n: usize) -> bool;
    fn always(&self) -> bool { true }
}

impl<T: Clone> Order<T> {
    pub fn new(items: Vec<T>) -> Self { Self { items, name: String::new() } }

    async fn send(&mut self, to: &str) -> Result<usize, fmt::Error> {
        if to.is_empty() || self.items.is_empty() { return Err(fmt::Error); }
        for _ in &self.items {
            match to.len() {
                0 => continue,
                1 | 2 => break,
                _ => {}
            }
        }
        let twice = |x: usize| x * 2;
        Ok(twice(1))
    }
}

impl<T: Clone> Rule for Order<T> {
    const STRICT: bool = true;
    fn holds(&self, n: usize) -> bool { n > 0 && self.items.len() > n }
}

macro_rules! order {
    ($($x:expr),*) => { Order::new(vec![$($x),*]) };
}

mod inner {
    /* outer /* nested */ comment */
    pub(crate) fn help() {}
}
