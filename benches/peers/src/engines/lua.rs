//! Lua 5.4 through mlua, without limits of any kind. Its heap is kept, and its collector runs as it likes.

use super::Operation;
use crate::workload::{Record, Workload, desired, observed, weigh};
use mlua::{BorrowedStr, Function, Lua, Table};
use std::cell::Cell;
use std::rc::Rc;

fn records(lua: &Lua, records: &[Record]) -> mlua::Result<Table> {
    let list = lua.create_table_with_capacity(records.len(), 0)?;
    for record in records {
        let r = lua.create_table_with_capacity(0, 3)?;
        r.raw_set("name", record.name.as_str())?;
        r.raw_set("replicas", record.replicas)?;
        r.raw_set("image", record.image.as_str())?;
        list.raw_push(r)?;
    }
    Ok(list)
}

fn text(payload: &Table, key: &str) -> mlua::Result<Option<mlua::LuaString>> {
    payload.raw_get(key)
}

fn action(kind: &str, payload: &Table) -> mlua::Result<i64> {
    let (name, image) = (text(payload, "name")?, text(payload, "image")?);
    let name = name.as_ref().map(mlua::LuaString::to_str).transpose()?;
    let image = image.as_ref().map(mlua::LuaString::to_str).transpose()?;
    let replicas: Option<i64> = payload.raw_get("replicas")?;
    Ok(weigh(kind, name.as_deref().unwrap_or(""), replicas.unwrap_or(0), image.as_deref().unwrap_or("")))
}

fn host(seen: &Rc<Cell<i64>>) -> mlua::Result<Lua> {
    let lua = Lua::new();
    let globals = lua.globals();
    let add = |seen: &Rc<Cell<i64>>, n: i64| seen.set(seen.get() + n);
    let s = Rc::clone(seen);
    let log = lua.create_function(move |_, (level, text): (BorrowedStr, BorrowedStr)| {
        add(&s, level.len() as i64 + text.len() as i64);
        Ok(())
    })?;
    globals.set("log", log)?;
    globals.set("noop", lua.create_function(|_, ()| Ok(()))?)?;
    let (want, have) = (desired(), observed());
    globals.set("desired", lua.create_function(move |lua, ()| records(lua, &want))?)?;
    globals.set("observed", lua.create_function(move |lua, ()| records(lua, &have))?)?;
    let s = Rc::clone(seen);
    let emit = lua.create_function(move |_, (kind, payload): (BorrowedStr, Table)| {
        add(&s, action(&kind, &payload)?);
        Ok(())
    })?;
    globals.set("emit", emit)?;
    Ok(lua)
}

fn source(workload: Workload) -> String {
    let diff = include_str!("../../programs/diff.lua");
    match workload {
        Workload::TickHello => include_str!("../../programs/hello.lua").into(),
        Workload::TickReconcile => format!("{diff}\nfunction tick() diff(desired(), observed()) end"),
        Workload::TickResident => {
            format!("{diff}\nlocal want, have = desired(), observed()\nfunction tick() diff(want, have) end")
        }
        Workload::Fib => include_str!("../../programs/fib.lua").into(),
        Workload::Tak => include_str!("../../programs/tak.lua").into(),
        Workload::Loop => include_str!("../../programs/loop.lua").into(),
        Workload::List => include_str!("../../programs/list.lua").into(),
        Workload::Str => include_str!("../../programs/str.lua").into(),
        Workload::Clos => include_str!("../../programs/clos.lua").into(),
        Workload::Load => include_str!("../../programs/load.lua").into(),
    }
}

pub(super) fn prepare(workload: Workload) -> Operation {
    let seen = Rc::new(Cell::new(0));
    let lua = host(&seen).expect("a host");
    let source = source(workload);
    if workload == Workload::Load {
        return Box::new(move || lua.load(source.as_str()).eval().expect("the program loads"));
    }
    lua.load(source.as_str()).exec().expect("the program loads");
    let tick: Function = lua.globals().get("tick").expect("a tick");
    Box::new(move || {
        // A function does not keep its state alive.
        let _lua = &lua;
        seen.set(0);
        let result: Option<i64> = tick.call(()).expect("the program runs");
        result.unwrap_or_else(|| seen.get())
    })
}
