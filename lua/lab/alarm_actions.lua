-- What an alarm does (lua/lab/alarms.lua): a row an action, from which checks, lines, help and the
-- manual follow.
--
--  1. What can be known when the alarm is set is refused then: a name that is none, a value out of
--     range, an action without effect on this run.
--  2. How a rewind is done is in alarms.lua: it waits for the end of the hook.

local engine = require "switchyard.engine"
local hooks = require "switchyard.run.hooks"
local options = require "switchyard.core.options"
local Run = require("switchyard.run.run").Run

local acts = {}
local ACTIONS, by_name = {}, {}


-- takes: nil: a word alone; else what {NAME = value} has to be.  check(r, value) raises;
-- act(r, alarm, value).
local function action(row)
  ACTIONS[#ACTIONS + 1], by_name[row.name] = row, row
end

local function needs_directory(r, what)
  if r._store then return end
  error(("alarm: %s has no effect: run '%s' has no directory%s"):format(what, r.name,
    r._o.save == false and " (save = false)" or ""), 0)
end

action{name = "pause", help = "the run waits for r:resume()",
  act = function(r) r:pause() end}

action{name = "checkpoint", help = "one is saved, before the next step",
  check = function(r) needs_directory(r, '"checkpoint"') end,
  act = function(r) assert(r:checkpoint()) end}

action{name = "bell", help = "the terminal's; where there is none, the line alone",
  act = function() end} -- the line that tells it rings

local function check_field(r, name, value)
  local names = Run._settable(r)
  local known = false
  for _, n in ipairs(names) do known = known or n == name end
  if not known then options.unknown("alarm", "field", name, names) end
  local ignored = Run._ignored(r, name)
  if ignored then error(("alarm: %s has no effect: %s"):format(name, ignored), 0) end
  local now = r._h:get(name)
  if type(now) == "number" and type(value) ~= "number" then
    error(("alarm: %s takes a number, got %s"):format(name, type(value)), 0)
  end
  if type(value) == "number" or type(value) == "boolean" then
    local fits, why = pcall(r._h.check, r._h, name, value)
    if not fits then error((tostring(why):gsub("^.-train: ", "alarm: ")), 0) end
  end
  if name == "steps" and value < r._h:status().step then
    error(("alarm: steps is %s, the run is at step %d already; \"pause\" holds it"):format(
      options.number(value), r._h:status().step), 0)
  end
end

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

action{name = "set", takes = "table", help = "fields of the run: hyper-parameters, inputs of its "
  .. "model, what r.NAME = value takes; {set = {lr = 1e-4}}",
  check = function(r, set)
    if next(set) == nil then error("alarm: set = {} has no effect", 0) end
    for _, name in ipairs(sorted(set)) do check_field(r, name, set[name]) end
  end,
  text = function(set)
    local parts = {}
    for i, name in ipairs(sorted(set)) do
      local v = set[name]
      parts[i] = ("%s = %s"):format(name, type(v) == "number" and options.number(v) or tostring(v))
    end
    return "set " .. table.concat(parts, ", ")
  end,
  act = function(r, _, set)
    for _, name in ipairs(sorted(set)) do r[name] = set[name] end
  end}

action{name = "shell", takes = "string", help = "a command, beside the run, with SWITCHYARD_RUN, "
  .. "_STEP, _ALARM and _TEXT in its environment and its output nowhere; {shell = \"command\"}",
  check = function(_, command)
    if not command:find "%S" or command:find "\0" then
      error("alarm: shell takes a command, got an empty one", 0)
    end
  end,
  text = function(command)
    return "shell " .. (#command > 40 and command:sub(1, 37) .. "..." or command)
  end,
  act = function(r, a, command)
    assert(engine.start(r.name, ("alarm %s at step %d"):format(a.name, a.last), command, {
      SWITCHYARD_RUN = r.name, SWITCHYARD_STEP = ("%d"):format(a.last),
      SWITCHYARD_ALARM = a.name, SWITCHYARD_TEXT = a.text:gsub("%z", "")}))
  end}

-- How: begin_rewind.
action{name = "rewind", takes = "integer", alone = true, help = "to the newest checkpoint from "
  .. "before the steps that the condition is made of, else the beginning; {rewind = step}: to that",
  check = function(r, step)
    needs_directory(r, '"rewind"')
    if step and step < 0 then error(("alarm: rewind = %d is no step"):format(step), 0) end
  end,
  text = function(step) return step and "rewind to " .. step or "rewind" end}

action{name = "call", takes = "function", hidden = true,
  text = function(f) return hooks.place(f) end,
  act = function(r, a, f) f(r, a) end}

local function act_names()
  local names = {}
  for _, row in ipairs(ACTIONS) do
    if not row.hidden then names[#names + 1] = row.name end
  end
  return names
end

local function make_action(r, name, value)
  local row = by_name[name]
  if not row or row.hidden and type(value) ~= "function" then
    options.unknown("alarm", "action", name, act_names())
  end
  if value == nil and row.takes and not row.alone then
    error(("alarm: action '%s' takes a %s: {%s = ...}"):format(name, row.takes, name), 0)
  end
  if value ~= nil then
    if not row.takes then
      error(("alarm: action '%s' takes nothing: \"%s\""):format(name, name), 0)
    end
    value = row.takes == "function" and value
      or options.check("alarm", name, value, {name, row.takes})
  end
  if row.check then row.check(r, value) end
  return {row = row, value = value, text = row.text and row.text(value) or name}
end

local function add_action(r, list, given)
  if type(given) == "string" then list[#list + 1] = make_action(r, given)
  elseif type(given) == "function" then list[#list + 1] = make_action(r, "call", given)
  else
    error(("alarm: run takes the name of an action, {NAME = value}, a list of these, or a "
      .. "function, got %s"):format(type(given)), 0)
  end
end

-- {set = ..., "bell"}: what has no name in its order, then the named ones by theirs.
local function add_table(r, list, given)
  local named = {}
  for k, v in pairs(given) do
    if math.type(k) ~= "integer" then named[#named + 1] = tostring(k) end
  end
  table.sort(named)
  for _, v in ipairs(given) do
    if type(v) == "table" then add_table(r, list, v) else add_action(r, list, v) end
  end
  for _, name in ipairs(named) do list[#list + 1] = make_action(r, name, given[name]) end
end

--- What run= says, checked: list of {row=, value=, text=}.
function acts.read(r, run)
  local list = {}
  if type(run) == "table" then add_table(r, list, run) else add_action(r, list, run) end
  if #list == 0 then error("alarm: run = {} does nothing", 0) end
  local rewinds = 0
  for _, x in ipairs(list) do rewinds = rewinds + (x.row.name == "rewind" and 1 or 0) end
  if rewinds > 1 then error("alarm: an alarm rewinds once: there are several", 0) end
  return list
end

--- For people.
function acts.texts(list)
  local parts = {}
  for i, x in ipairs(list) do parts[i] = x.text end
  return table.concat(parts, ", ")
end

--- Entries for ?alarm: the conditions' rows, and {name, text} of each action.
function acts.docs()
  local list = {}
  for _, row in ipairs(ACTIONS) do
    if not row.hidden then list[#list + 1] = {row.name, row.help} end
  end
  return engine.alarms(), list
end

return acts
