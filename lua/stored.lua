-- Runs as a list: those of this session and those on disk.  runs(), runs "name", compare{...}; and the read-only
-- view of a stored run, which has the fields and series of a live one.

local engine = require "switchyard.engine"
local options = require "switchyard.options"
local record = require "switchyard.record"
local again = require "switchyard.again"
local Run = require("switchyard.run").Run
local stored = {}

-- ---- a stored run ----

local Stored, methods = {}, {}
local FIELDS = {}
for name in ("name state step steps tokens loss val_loss dir parent parent_step created updated bytes pid live " ..
             "config samples model"):gmatch "%S+" do FIELDS[name] = true end

--- s:history(name) -> tensor (n,2) or (n,1+E), as of a live run
function methods:history(name)
  local h = self._store:history(name)
  if h then return h end
  local base, column = tostring(name):match "^(.*)%.(%d+)$"
  h = base and self._store:history(base, math.tointeger(column))
  if h then return h end
  options.unknown("history", "series", name, self:series())
end

function methods:series()
  local names = {}
  for name in pairs(self._store:series()) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- s:journal() -> entries on the timeline; s:events() -> alarms, checkpoints, resumes
function methods:journal() return engine.list(again.stored_journal(self._store)) end
function methods:events() return require("switchyard.card").events((self._store:entries "events")) end

function methods:close() self._store:close() end

function Stored.__index(s, name)
  if name == "_store" then
    local store, why = engine.store_open(rawget(s, "_name"))
    if not store then error(why, 0) end
    rawset(s, "_store", store)
    return store
  end
  if methods[name] then return methods[name] end
  if type(name) ~= "string" or name:sub(1, 1) == "_" then return nil end
  if name == "samples" then return (s._store:entries "samples") end
  if name == "dir" then return s._store:path() end
  if name == "model" then
    if not rawget(s, "_model") then rawset(s, "_model", (stored.model("runs", s._store:path()))) end
    return rawget(s, "_model")
  end
  local info = assert(s._store:info())
  if name == "config" then return (engine.json(info.config or "{}")) end
  if FIELDS[name] then
    local v = info[name]
    if type(v) == "number" and v ~= v then return nil end
    return v
  end
  local names = {}
  for k in pairs(FIELDS) do names[#names + 1] = k end
  table.sort(names)
  local _, why = pcall(options.unknown, "run", "field", name, names)
  error(why, 2)
end

function Stored.__newindex(_, name)
  error(("run: %s cannot be set: the run is stored; train.resume makes it live"):format(tostring(name)), 2)
end

-- "run first: done, step 2000/2000, loss 2.913 ..." of what store:info() gives.
local function line(name, s)
  if s.error then return ("run %s: %s"):format(name, engine.clean(s.error)) end
  local text = ("run %s: %s, step %d/%d"):format(name, s.state, s.step, s.steps)
  if s.loss and s.loss == s.loss then text = text .. (", loss %.3f"):format(s.loss) end
  if s.val_loss and s.val_loss == s.val_loss then text = text .. (", val %.3f"):format(s.val_loss) end
  if s.parent then text = text .. (", fork of %s at step %d"):format(engine.clean(s.parent), s.parent_step) end
  return text
end

function Stored.__tostring(s)
  local info = assert(s._store:info())
  local text = line(info.name, info) .. " (stored)"
  if info.step > 0 then text = text .. "\n  loss " .. Run.sparkline(s:history "loss", 60) end
  return text
end

Stored.__name = "stored run"
Stored.methods, Stored.fields = methods, FIELDS
stored.Stored = Stored

--- The model of a stored run at its newest checkpoint, and the step; raises.
function stored.model(what, name, code)
  local folder, last = record.locate(what, name)
  local store, why = engine.store_open(last, {dir = folder})
  if not store then error(what .. ": " .. why, 0) end
  local close <close> = setmetatable({}, {__close = function() store:close() end})
  local path = store:path()
  local config = record.read(what, store)
  local from, image = again.base(path)
  if not from then error(("%s: run '%s' has no checkpoint yet"):format(what, last), 0) end
  local m = record.model(what, path, config, code)
  for k, v in pairs(again.routing(config, image.journal)) do m.cfg[k] = v end
  local list = {}
  for i, p in ipairs(m.params) do list[i] = {m._info[i].name, p} end
  local ok, state
  ok, why = engine.read_tensors(from .. "/model.safetensors", list)
  if ok then state, why = tensor.load(from .. "/state.safetensors") end
  if not ok or not state then error(what .. ": " .. why, 0) end
  for i, key in ipairs(m._state_names) do engine.copy(m.states[key], state["state." .. i]) end
  for key, t in pairs(m.inputs) do
    local v = state["eval." .. key] or state["input." .. key]
    if v then engine.copy(t, v) end
  end
  m._fresh = false
  return m, image.step
end

local function open(name)
  local folder, last = record.locate("runs", name)
  local store, why = engine.store_open(last, {dir = folder})
  if not store then return nil, why end
  return setmetatable({_store = store}, Stored)
end

-- One whose file is opened when something of it is asked for.
local function closed(name)
  return setmetatable({_name = name}, Stored)
end

-- ---- all runs ----

local function on_disk()
  local list = {}
  for _, info in ipairs(engine.store_runs() or {}) do
    if not Run._live(info.name) then list[#list + 1] = info end
  end
  return list
end

local function all_names()
  local names = {}
  for i, r in ipairs(Run.list) do names[i] = r.name end
  for _, info in ipairs(on_disk()) do names[#names + 1] = info.name end
  return names
end

local LISTED, CELLS = "%-20s %-10s %15s %8s %8s %9s  %s", 20 -- as `switchyard runs` (src/command/command.c)

local function text(format, v) return v and v == v and format:format(v) or "-" end

-- A line of runs(): of what store:info() gives, or of a live run's status.
local function listed(name, s, bytes, spark)
  name = engine.clean(name)
  if s.error and s.state ~= "failed" then return ("%-20s %-10s %s"):format(name, s.state, engine.clean(s.error)) end
  local row = LISTED:format(name, s.state, ("%d/%d"):format(s.step, s.steps), text("%.3f", s.loss),
    text("%.3f", s.val_loss), bytes and engine.bytes(bytes) or "-", spark)
  if s.parent then row = row .. ("  fork of %s at step %d"):format(engine.clean(s.parent), s.parent_step) end
  return (row:gsub("%s+$", ""))
end

local function listed_live(r)
  local info = r._store and r._store:info() or {}
  local s = r._h:status()
  s.parent, s.parent_step = info.parent, info.parent_step
  return listed(r.name, s, info.bytes, s.step > 0 and Run.sparkline(r._h:history "loss", CELLS) or "")
end

local function listed_stored(info)
  local pairs_of = {}
  for i, v in ipairs(info.spark) do pairs_of[i] = {i, v} end
  return listed(info.name, info, info.bytes, #pairs_of > 0 and Run.sparkline(tensor(pairs_of), CELLS) or "")
end

local function all_runs()
  local list, lines = {}, {(LISTED:format("run", "state", "step", "loss", "val", "size", "loss"))}
  for i, r in ipairs(Run.list) do list[i], lines[i + 1] = r, listed_live(r) end
  for _, info in ipairs(on_disk()) do
    list[#list + 1], lines[#lines + 1] = closed(info.name), listed_stored(info)
  end
  return setmetatable(list, {__tostring = function() return #lines > 1 and table.concat(lines, "\n") or "no runs yet" end})
end

--- runs() -> live runs, then those on disk, printed by columns;  runs "name" -> one of them
function stored.runs(name)
  if name == nil then return all_runs() end
  local live = type(name) == "string" and Run._live(name)
  if live then return live end
  local s, why
  if type(name) == "string" and (name:find "/" or engine.store_name_ok(name)) then s, why = open(name) end
  if s then return s end
  if why and not why:find "there is no" then error(why, 2) end
  local _, unknown = pcall(options.unknown, "runs", "run", name, all_names())
  options.raise(unknown, 2)
end

-- ---- compare ----

local WIDE = "%-20s %-8s %13s %9s %9s %9s %10s %6s"
local NARROW = "%-14s %-8s %11s %7s %7s %8s %8s %5s" -- 75 columns, for terminals under 92

local function row(columns, r)
  local s
  if getmetatable(r) == Run then
    s = r._h:status()
  else
    s = assert(r._store:info())
    local series = r._store:series()
    local function last(name) return series[name] and series[name].last[1] end
    s.current_lr, s.tok_s = last "lr", last "tok_s"
  end
  local name = columns == NARROW and require("switchyard.show").clip(r.name, 14) or r.name
  return columns:format(name, s.state, ("%d/%d"):format(s.step, s.steps), text("%.3f", s.loss), text("%.3f", s.val_loss),
    text("%.1e", s.current_lr), text("%.0f", s.tok_s), text("%.0f%%", s.mfu and 100 * s.mfu))
end

--- compare{r1, "name", ...} -> a table, printed by columns
function stored.compare(list)
  if type(list) ~= "table" or getmetatable(list) == Run or getmetatable(list) == Stored then
    error("compare: takes a list of runs: compare{r1, r2}", 2)
  end
  local n = engine.length("compare", list)
  if n == 0 then error("compare: takes a list of runs: compare{r1, r2}", 2) end
  local columns = engine.columns() < 92 and NARROW or WIDE
  local each, lines = {}, {columns:format("run", "state", "step", "loss", "val", "lr", "tok/s", "mfu")}
  for i = 1, n do
    local r = list[i]
    if type(r) == "string" then
      local ok, found = pcall(stored.runs, r)
      if not ok then options.raise(found, 2) end
      r = found
    end
    if getmetatable(r) ~= Run and getmetatable(r) ~= Stored then error("compare: element " .. i .. " is not a run", 2) end
    each[i], lines[#lines + 1] = r, row(columns, r)
  end
  return setmetatable({runs = each}, {__tostring = function() return table.concat(lines, "\n") end})
end

return stored
