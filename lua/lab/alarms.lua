-- Alarms that act: alarm(r, {when=, run=}).  What is told of a run by itself (SY_ALARM_MAP,
-- include/switchyard/events.h) or a function of the user's says when; an action says what is done
-- then, between two steps.
--
--     off --it holds--> on, its actions are done --it holds no longer--> off, and quiet for `again`
--                                                                        steps
--
--  1. What the trainer judges is not judged here a second time: it wakes us at the border where an
--     alarm that somebody waits for begins or ends (src/bind/run/events.c).
--  2. What an action changes is in the journal as if it had been typed, behind an entry that says
--     which alarm did it.  While steps are repeated no alarm acts: the journal has what they did.
--  3. A rewind is done when the hook has returned, as auto_rewind is; actions behind it after that.
--  4. The list is exchanged, never changed: an action may add and remove alarms.
--  5. An error in an alarm is one line that says how to take it away; the run goes on.

local acting = require "switchyard.core.acting"
local acts = require "switchyard.lab.alarm_actions"
local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local hooks = require "switchyard.run.hooks"
local json = require "switchyard.core.json"
local options = require "switchyard.core.options"
local Run = require("switchyard.run.run").Run

local alarms, methods = {}, {}
local AGAIN = 1000 -- as in src/train/raise.c
local REWINDS = 3  -- of one alarm: what comes back after that is not to be cured so

local SPEC = {
  {"when", "any", nil, help = "a condition's name, a list of names, or f(r): true, or a text, "
    .. "when it holds"},
  {"run", "any", nil, help = "an action, a list of them, or f(r, alarm)"},
  {"every", "integer", nil, 1, 10 ^ 9 // 1, help = "steps from one look of a function to the next; "
    .. "default 1: what f takes is taken from each step"},
  {"again", "integer", AGAIN, 0, 10 ^ 9 // 1, help = "steps that a condition has ended before it "
    .. "acts again"},
  {"name", "string", nil, help = "by which it is told and journaled; default: its condition's"},
}
alarms.rows = SPEC

-- ---- conditions ----

local function short(row) return row.id:lower() end

local function names_of(known)
  local names = {}
  for _, row in ipairs(known) do names[#names + 1] = row.name end
  for _, row in ipairs(known) do
    if short(row) ~= row.name then names[#names + 1] = short(row) end
  end
  return names
end

-- A condition by its name ("dead experts") or its short one ("dead").
local function find(known, word)
  for _, row in ipairs(known) do
    if word == row.name or word == short(row) then return row end
  end
  options.unknown("alarm", "condition", word, names_of(known))
end

-- List of {id=, name=, span=, on=, ended=} of words, or nil: it is a function.
local function conditions(when)
  if type(when) == "function" then return nil end
  local words = type(when) == "table" and when or {when}
  local list, known, seen = {}, engine.alarms(), {}
  if #words == 0 then
    error("alarm: when must be a condition's name, a list of names, or a function", 0)
  end
  for i, word in ipairs(words) do
    if type(word) ~= "string" then
      error(("alarm: when%s must be a condition's name, got %s"):format(
        type(when) == "table" and "[" .. i .. "]" or "", type(word)), 0)
    end
    local row = find(known, word)
    if not seen[row.id] then
      list[#list + 1] = {id = row.id, name = row.name, span = row.span, on = false}
    end
    seen[row.id] = true
  end
  return list
end

-- Whether an episode begins; c.on and c.ended follow.  A rewind leads to a step before the end:
-- that is no calm.
local function begins(c, holds, step, again)
  if not holds then
    if c.on then c.ended = step end
    c.on = false
    return false
  end
  if c.on then return false end
  c.on = true
  return not c.ended or step - c.ended >= again
end

-- ---- an alarm ----

local Alarm = fields.class("alarm", methods, "run name when every again fired last text",
  function(_, name, setting)
    return setting and ("%s cannot be set; a:remove(), and alarm(r, {...}) makes another")
      :format(name)
  end)

local function list_of(run) return rawget(run, "_alarms") or {} end

--- Its place in alarms(r), or nil when it was removed.
function alarms.number(a)
  for n, other in ipairs(list_of(a.run)) do
    if rawequal(other, a) then return n end
  end
end

local function when_text(a)
  if not a._conditions then
    return hooks.place(a.when) .. (a.every > 1 and (", every %d steps"):format(a.every) or "")
  end
  local names = {}
  for i, c in ipairs(a._conditions) do names[i] = c.name end
  return table.concat(names, ", ")
end

function Alarm:__tostring()
  local said = ""
  local times = self.fired == 0 and "not yet" or
    ("%d time%s, last at step %d"):format(self.fired, self.fired == 1 and "" or "s", self.last)
  if self.name ~= when_text(self) then said = engine.clean(self.name) .. ": " end
  return ("alarm of run %s: %s%s: %s; acted: %s%s"):format(self.run.name, said,
    engine.clean(when_text(self)), engine.clean(acts.texts(self._actions)), times,
    alarms.number(self) and "" or " (removed)")
end

-- ---- acting ----

-- The line, and what the journal has; the terminal's bell goes with it.
local function tell(r, kind, text, rings)
  text = engine.clean(text)
  if #text > 480 then text = text:sub(1, 480):gsub("[\xC0-\xFF][\x80-\xBF]*$", "") end
  if rings and engine.rings() then print(("[%s] %s\a"):format(r.name, text))
  else engine.event(r.name, kind, text) end
  return text
end

local function failed(a, what, why)
  local n = alarms.number(a)
  local text = ("alarm %s at step %d: %s: %s%s"):format(a.name, a.run._h:status().step, what,
    tostring(why):match "^[^\n]*", n and ("; alarms(%q)[%d]:remove() takes this alarm away")
    :format(a.run.name, n) or "")
  a.run._h:note("hook", tell(a.run, "hook", text))
end

local WHO_MOST = 47 -- bytes (struct sy_journal_entry)

-- f(...), whose entries of the journal are this alarm's.
local function as_alarm(a, f, ...)
  local who = "alarm " .. a.name
  if #who > WHO_MOST then who = who:sub(1, WHO_MOST):gsub("[\xC0-\xFF][\x80-\xBF]*$", "") end
  return acting.as(who, f, ...)
end

-- What begins at step + 1 and is as it was before the condition's steps.
local function target(a, given)
  local r, before = a.run, a.last - a._span
  if given then return given end
  local best = r._config.begins or 0
  for _, c in ipairs(engine.checkpoints(r._store:path()) or {}) do
    if c.ok and c.step <= before and c.step > best then best = c.step end
  end
  return best
end

local go_on

-- Called by Run._auto_rewind when the hook has returned.
local function do_rewind(a, given, from)
  local r, last, stays = a.run, a.last, false
  local ok, why = pcall(function()
    local to = target(a, given)
    Run.methods.rewind(r, to)
    r._h:note("rewind", ("alarm %s: rewound from step %d to %d"):format(a.name, last, to))
  end)
  if ok then stays = go_on(a, from + 1) else failed(a, a._actions[from].text, why) end
  if not stays then r._h:resume() end
end

local function begin_rewind(a, given, from)
  local r = a.run
  if rawget(r, "_rewind_act") then return failed(a, "rewind", "another alarm rewinds already") end
  if a._rewinds == REWINDS then
    return failed(a, "rewind", ("it has rewound the run %d times already"):format(REWINDS))
  end
  a._rewinds = a._rewinds + 1
  rawset(r, "_rewind_act", function() as_alarm(a, do_rewind, a, given, from) end)
  r._h:want_rewind()
end

-- Actions from number `from` on; true: one of them was a pause.
function go_on(a, from)
  local stays = false
  for n = from, #a._actions do
    local x = a._actions[n]
    if x.row.name == "rewind" then begin_rewind(a, x.value, n) return false end
    local ok, why = pcall(x.row.act, a.run, a, x.value)
    if not ok then failed(a, x.text, why) end
    stays = stays or x.row.name == "pause"
  end
  return stays
end

local function act_now(a, step, text, span)
  local r, rings = a.run, false
  a.fired, a.last, a.text, a._span = a.fired + 1, step, text, span
  for _, x in ipairs(a._actions) do rings = rings or x.row.name == "bell" end
  r._h:note("alarm", tell(r, "alarm", ("alarm %s at step %d: %s: %s"):format(a.name, step, text,
    acts.texts(a._actions)), rings))
  rawset(r, "_in_hook", true)
  go_on(a, 1)
  rawset(r, "_in_hook", false)
end

local function fire(a, ...) as_alarm(a, act_now, a, ...) end

-- Alarms of words, at a border where one of the trainer's began or ended.
local function border(r, step)
  local now = {}
  for _, row in ipairs(r._h:alarms()) do now[row.id] = row end
  for _, a in ipairs(list_of(r)) do
    for _, c in ipairs(a._conditions or {}) do
      local row = now[c.id]
      local stays = alarms.number(a) -- an action before may have removed it
      if begins(c, row.on, step, a.again) and stays then
        fire(a, step, row.text or c.name, c.span)
      end
    end
  end
end

local function look(a, r)
  local step = r._h:status().step
  local ok, value = pcall(a.when, r)
  if not ok then
    if not a._failing then failed(a, "its condition", value) end
    a._failing = true
    return
  end
  a._failing = false
  if begins(a._state, value, step, a.again) then
    fire(a, step, type(value) == "string" and value or "its condition holds", a.every)
  end
end

-- ---- the list ----

-- What another process needs to set an alarm again, or nil: it has a function.
local function stored_one(a)
  local when, run = {}, {}
  for i, c in ipairs(a._conditions or {}) do when[i] = short(c) end
  for i, x in ipairs(a._actions) do
    local set = x.row.name == "set" and x.value or {}
    for _, v in pairs(set) do
      if type(v) == "userdata" then return nil end
    end
    if x.row.name == "call" then return nil end
    run[i] = x.value == nil and x.row.name or {[x.row.name] = x.value}
  end
  return a._conditions and {when = when, run = run, again = a.again, name = a._named}
end

-- For the store: those, and how many others there are.
local function stored(r)
  local list, others = {}, 0
  for _, a in ipairs(list_of(r)) do
    local one = stored_one(a)
    list[#list + 1] = one
    if not one and not a._alert then others = others + 1 end
  end
  return json.text {list = #list > 0 and list or json.empty_list, others = others}
end

local NONE = json.text {list = json.empty_list, others = 0}

local function keep(r)
  local text = r._store and not rawget(r, "_alarms_kept") and stored(r)
  if not text or text == (rawget(r, "_alarms_text") or NONE) then return end
  rawset(r, "_alarms_text", text)
  local n = #list_of(r)
  r._store:add("events", r._h:status().step, "alarms",
    ("%d alarm%s"):format(n, n == 1 and " acts" or "s act"), text)
  r._store:flush() -- a kill must not lose them; a disk that fails is told by its own alarm
end

local function changed(r, list)
  local ids = {}
  rawset(r, "_alarms", list)
  for _, a in ipairs(list) do
    for _, c in ipairs(a._conditions or {}) do ids[#ids + 1] = c.id end
  end
  r._h:watch(ids)
  rawset(r, "_border", #ids > 0 and border or nil)
  keep(r)
end

--- a:remove(): it acts no more; also from within itself, and more than once
function methods:remove()
  local kept = {}
  for _, other in ipairs(list_of(self.run)) do
    if not rawequal(other, self) then kept[#kept + 1] = other end
  end
  if #kept == #list_of(self.run) then return end
  if self._hook then self._hook:remove() end
  changed(self.run, kept)
end

local function make(r, given)
  local o = options.read("alarm", given, SPEC)
  if o.when == nil then error("alarm: when is missing: a condition's name or a function", 0) end
  if o.run == nil then error("alarm: run is missing: what is to be done", 0) end
  local list = conditions(o.when)
  if list and o.every then
    error("alarm: every has no effect: conditions that have a name are looked at after every step",
      0)
  end
  local a = fields.object(Alarm, {run = r, when = o.when, every = o.every or 1, again = o.again,
    fired = 0})
  a._conditions, a._actions, a._named, a._rewinds = list, acts.read(r, o.run), o.name, 0
  a._state = {on = false}
  a.name = o.name or when_text(a)
  return a
end

local function add(r, given, alert)
  if getmetatable(r) ~= Run then error("alarm: argument 1 must be a live run", 0) end
  local a = make(r, given)
  if not a._conditions then
    a._hook = hooks.add(r, a.every, function(run) look(a, run) end, true)
  end
  a._alert = alert == "alert"
  local all = {table.unpack(list_of(r))}
  all[#all + 1] = a
  changed(r, all)
  return a
end

--- alarm(r, {when=, run=, every=, again=, name=}) -> alarm; alert: the prompt's :alert made it,
-- which lists them apart and keeps none.
function alarms.alarm(r, given, alert) return options.call(add, r, given, alert) end

--- The alarms that act on a run, by number.
function alarms.list(r)
  local list = {table.unpack(list_of(r))}
  return setmetatable(list, {__tostring = function()
    local lines = {}
    for i, a in ipairs(list) do lines[i] = ("%2d  %s"):format(i, tostring(a)) end
    return #lines > 0 and table.concat(lines, "\n") or ("no alarm acts on run %s"):format(r.name)
  end})
end

--- Of a run that goes on in another process: set those again that its store has, and say which are
-- not.
function alarms.again(r)
  local rows, newest = r._store:entries "events" or {}, nil
  for _, e in ipairs(rows) do
    if e.kind == "alarms" then newest = e.data end
  end
  local kept = newest and engine.json(newest)
  if type(kept) ~= "table" then return end
  local others, set = tonumber(kept.others) or 0, 0
  rawset(r, "_alarms_kept", true)
  for _, given in ipairs(type(kept.list) == "table" and kept.list or {}) do
    local ok, a = pcall(alarms.alarm, r, given)
    if ok then set = set + 1 else
      engine.event(r.name, "note", "an alarm was not set again: " .. engine.clean(tostring(a)))
    end
  end
  rawset(r, "_alarms_kept", nil)
  rawset(r, "_alarms_text", newest)
  if set > 0 then
    engine.event(r.name, "note", ("%d alarm%s that act%s: set again; alarms(r) lists them")
      :format(set, set == 1 and "" or "s", set == 1 and "s" or ""))
  end
  if others > 0 then
    engine.event(r.name, "note", ("%d alarm%s with a function: not set again; alarm(r, {...}) does")
      :format(others, others == 1 and "" or "s"))
  end
end

return alarms
