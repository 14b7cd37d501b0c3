//! A smaller program with the same fault.

use std::rc::Rc;

use crate::form::Form;

/// Cuts parts out of a program for as long as `wrong` says that it still shows the fault.
pub(crate) fn shrink(mut program: Vec<Form>, wrong: &dyn Fn(&[Form]) -> bool) -> Vec<Form> {
    let mut tries = 4_000;
    loop {
        let found = smaller(&program).into_iter().take(tries).find(|candidate| {
            tries -= 1;
            wrong(candidate)
        });
        match found {
            Some(candidate) => program = candidate,
            None => return program,
        }
    }
}

/// Every program that is `program` without something, the largest cuts first.
fn smaller(program: &[Form]) -> Vec<Vec<Form>> {
    let mut all: Vec<Vec<Form>> = (0..program.len()).map(|i| [&program[..i], &program[i + 1..]].concat()).collect();
    for (i, form) in program.iter().enumerate() {
        all.extend(cuts(form).into_iter().map(|cut| [&program[..i], &[cut], &program[i + 1..]].concat()));
    }
    all
}

/// Everything that a form can become: one of its parts, itself with a part less, itself with a smaller part.
fn cuts(form: &Form) -> Vec<Form> {
    let Form::List(shape, items) = form else { return vec![] };
    let with = |items: Vec<Form>| Form::List(*shape, Rc::new(items));
    let mut all = vec![Form::Nil];
    all.extend(items.iter().skip(1).cloned());
    all.extend((0..items.len()).map(|i| with([&items[..i], &items[i + 1..]].concat())));
    for (i, item) in items.iter().enumerate() {
        all.extend(cuts(item).into_iter().map(|cut| with([&items[..i], &[cut], &items[i + 1..]].concat())));
    }
    all
}
