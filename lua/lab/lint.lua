-- lint(m or r): which of the faults that have bitten public projects a model or run has, by numbers
-- alone: its function is run on a few tokens (lua/lab/specimen.lua), with and without what the
-- fault would make a difference to.
--
--     lint(m or r, {data =, rows =, length =, lr =})  -> list of {fault=, layer=, evidence=,
--         advice=, cost=, what=}; empty where all is well
--
--  1. Names are not looked at: a router, a loss or a balance rule of a user's is treated as one of
--     the program's.
--  2. The model and its run are the same afterwards, bit for bit; a run is parked meanwhile.
--  3. What cannot be examined is listed with the reason (list.left), and never silent.
--
-- A fault is a row of lint_faults.lua, what it does is in one of the files lint_*.lua beside this.

local engine = require "switchyard.engine"
local FAULTS = require "switchyard.lab.lint_faults"
local hooks = require "switchyard.run.hooks"
local nn = require "switchyard.model.nn"
local objective = require "switchyard.model.objective"
local options = require "switchyard.core.options"
local report = require "switchyard.lab.lint_report"
local sources = require "switchyard.lab.lint_sources"
local specimen = require "switchyard.lab.specimen"
local states = require "switchyard.lab.lint_states"
local subject = require "switchyard.lab.subject"
local stored = require "switchyard.run.stored"
local Run, Stored = require("switchyard.run.run").Run, stored.Stored

local lint = {}

-- ---- looking ----

local Look = {}
Look.__index = Look

-- Of each kind one, made when it is first asked for; nil and why where the model refuses.
function Look:specimen(kind, more)
  local kept = self.kept[kind]
  if not kept then
    local spec = {rows = self.rows, length = self.length, data = self.data, by = self.by,
                  precision = self.precision}
    for name, v in pairs(more or {}) do spec[name] = v end
    local good, s = pcall(specimen.new, self.m, spec)
    kept = {s = good and s, why = not good and tostring(s):gsub("\n.*", "") or nil}
    self.kept[kind] = kept
  end
  return kept.s or nil, kept.why
end

-- Run with a nudge or without; more: {seed=, step=}.
function Look:ran(kind, spec, nudge, more)
  local s, why = self:specimen(kind, spec)
  if not s then return nil, why end
  return s:run {nudge = nudge, seed = more and more.seed, step = more and more.step,
                version = self.version}
end

--- f() while these tensors may be changed; they are as before afterwards.
function Look:changing(tensors, f)
  self.version = self.version + 1
  local after <close> = setmetatable({}, {__close = function() self.version = self.version + 1 end})
  return states.restoring(tensors, f)
end

--- The training's micro-batch, run with a nudge or without; nil, why.
function Look:train(nudge, more)
  return self:ran("train", {gradients = "losses"}, nudge, more)
end

--- The same with gradients of the language model's loss.
function Look:learn(nudge) return self:ran("learn", {gradients = "all"}, nudge) end

--- The same without a capacity.
function Look:free(nudge)
  return self:ran("free", {as_written = true}, nudge)
end

--- The same as one of `n` micro-batches that are alike.
function Look:one_of(n, nudge)
  return self:ran("one_of." .. n, {accumulate = n}, nudge)
end

--- An evaluation.
function Look:eval(more) return self:ran("eval", {mode = "eval"}, nil, more) end

--- The same with its loss and logits.
function Look:valued()
  return self:ran("valued", {mode = "eval", loss = true, logits = true})
end

--- One as a text is written: nothing is dropped, each token chooses by itself.
function Look:written()
  return self:ran("written", {mode = "eval", as_written = true})
end

-- Tokens enough to tell loads apart, a multiple of the experts.
local TOKENS, LENGTH, MOST = 256, 64, 2048

local function most_experts(m)
  local E, K = 1, 1
  for _, list in pairs(m._moe) do
    for _, moe in ipairs(list) do
      E, K = math.max(E, moe.experts), math.max(K, moe.top_k)
    end
  end
  return E, K
end

local function size_of(m, o)
  local T, E = o.length or math.min(m.cfg.context, LENGTH), most_experts(m)
  local rows = math.max(1, math.min(math.max(TOKENS, 8 * E), MOST) // T)
  while not o.rows and rows * T % E ~= 0 and rows < 64 do rows = rows + 1 end
  return o.rows or rows, T
end

-- ---- the checks ----

local function check_of(row)
  local kind, name = row.check:match "^(%w+)%.(.*)$"
  return require("switchyard.lab.lint_" .. kind)[name]
end

local function examine(look, rows)
  local list, left = {}, {}
  for _, row in ipairs(rows) do
    local function found(x, ...)
      list[#list + 1] = report.finding({fault = row.id, layer = x and x.layer,
                         place = x and x.label,
                         evidence = string.format(...), what = row.what, cost = row.cost,
                         advice = row.advice})
    end
    local function leave(...) left[#left + 1] = {id = row.id, why = string.format(...)} end
    local good, why = pcall(check_of(row), look, found, leave)
    if not good and tostring(why):find "interrupted$" then error(why, 0) end
    if not good then leave("%s", (tostring(why):gsub("\n.*", ""))) end
  end
  list.looked, list.left = #rows - #left, report.reasons(left)
  if look.unread then
    table.insert(list.left, 1, ("the run's data (%s): tokens are by lot"):format(look.unread))
  end
  return report.list(list)
end

-- ---- asking ----

local SPEC = {
  {"data", "any", help = "data set whose batches are looked at; default: the run's, or ids by lot"},
  {"objective", "any", help = "of the data, as train takes it; default: the run's, or next"},
  {"rows", "integer", nil, 1, 4096, help = "rows of a batch; default: about 256 tokens"},
  {"length", "integer", nil, 2, 1 << 20, help = "tokens of a row; default: the context, up to 64"},
  {"lr", "number", nil, 0, 1e3, help = "learning rate that is judged; default: the run's"},
}
lint.rows = SPEC

-- What is there of a run beside its model; m is it, or a copy of its model.
local function of_run(look, r)
  local h, live = r._h, r._m
  look.run, look.lr = r, look.lr or h:status().current_lr or h:get "lr"
  look.precision = r._o.precision
  function look.series(name, rows) return sources.last(h, name, rows) end
  function look.kept_of(name) return live:_quietly(h.kept, h, name) end
end

-- The data of a run, or nil, and why that of a stored one cannot be read.
local function data_of(x)
  local good, d = pcall(subject.data, "lint", x)
  return good and d or nil, not good and tostring(d):gsub("\n.*", "") or nil
end

local function of_stored(look, s)
  local last = sources.last(s._store, "lr", 1)
  look.lr = look.lr or last and last[1][2]
  function look.series(name, rows) return sources.last(s._store, name, rows) end
  function look.kept_of(name, E) return sources.kept(s, name, E) end
end

local function places_of(m)
  local list = {}
  for l, mixtures in pairs(m._moe) do
    for _, moe in ipairs(mixtures) do
      list[#list + 1] = {layer = l, name = moe.place,
                         label = engine.place(l, moe.name, m._labels[l])}
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- The handle of an objective of data, or nil without data.
local function objective_of(m, x, o, d)
  if not d then return nil end
  if o.data or getmetatable(x) ~= Run then
    return objective.handle(objective.read("lint", o.objective or m._objective or "next"),
      m:_agreed_tokenizer("lint", d))
  end
  return x._by or nil
end

local function steps_of(m, x)
  return getmetatable(x) == Stored and math.max(m:_steps(), x.step) or m:_steps()
end

local function look_at(m, x, o)
  local rows, length = size_of(m, o)
  local d, unread = o.data, nil
  if not d then d, unread = data_of(x) end
  local look = setmetatable({m = m, rows = rows, length = length, data = d,
    by = objective_of(m, x, o, d), lr = o.lr, precision = "fp32", steps = steps_of(m, x), kept = {},
    version = 1, places = places_of(m), unread = unread}, Look)
  if getmetatable(x) == Run then of_run(look, x) end
  if getmetatable(x) == Stored then of_stored(look, x) end
  return look
end

local function check(x, o)
  if nn.mode() then error("lint: inside a model's function there is no model yet", 0) end
  if o.objective and not o.data then error("lint: objective has no effect without data", 0) end
  if o.data and not engine.is_data(o.data) then
    error("lint: data must be a data set, got " .. type(o.data), 0)
  end
  local m, r = subject.model("lint", x)
  subject.check_mixtures("lint", m)
  return getmetatable(x) == Run and x or getmetatable(x) ~= Stored and r or x
end

local function run(x, given)
  local o = options.read("lint", given, SPEC)
  x = check(x, o)
  return subject.still("lint", x, function(m) return examine(look_at(m, x, o), FAULTS) end)
end

--- lint(m or r, options) -> list of {fault=, layer=, evidence=, advice=, ...}, printed as a report
function lint.lint(x, given) return options.call(run, x, given) end

--- lint.stored(name, code) -> list: of a run of this name or folder that is not trained here
function lint.stored(name, code)
  local m = stored.model("lint", name, code)
  local s = stored.runs(name)
  if getmetatable(s) ~= Stored then return lint.lint(s) end
  rawset(s, "_model", m)
  return lint.lint(s)
end

-- ---- by itself ----

local AT = {1, 100, 1000} -- steps of a training after which a few things are looked at
local FEW = 128           -- tokens, so that it takes a small part of a step

local function quick_rows()
  local list = {}
  for _, row in ipairs(FAULTS) do
    if row.quick then list[#list + 1] = row end
  end
  return list
end

local function summary(step, list)
  local first = list[1]
  return ("lint: step %d: %d %s (%s%s: %s%s); lint(r) tells more"):format(step, #list,
    #list == 1 and "fault" or "faults", first.place and first.place .. ": " or "", first.fault,
    first.what, #list > 1 and "; ..." or "")
end

-- The run stands between two steps.
local function glance(r)
  local m, step = r._m, r._h:status().step
  local T = math.min(r._h:get "context", LENGTH)
  local list = examine(look_at(m, r, {rows = math.max(1, FEW // T), length = T}), quick_rows())
  if #list == 0 then return end
  local text = summary(step, list)
  engine.event(r.name, "note", text)
  if r._store then r._store:add("events", step, "note", text) end
end

local function look_once(r, step)
  local hook
  hook = hooks.add(r, step, function()
    hook:remove()
    local good, why = pcall(glance, r)
    if not good and not tostring(why):find "interrupted$" then
      engine.event(r.name, "note", "lint: " .. tostring(why):gsub("\n.*", ""))
    end
  end, true)
end

--- Look at a run that begins by itself, at a few of its steps: a line where something is found.
function lint.watch(r)
  if not next(r._m._moe) then return end
  for _, step in ipairs(AT) do look_once(r, step) end
end

--- lint.faults() -> list of {fault=, what=, cost=, advice=}, printed by lines
function lint.faults()
  local list = {}
  for i, row in ipairs(FAULTS) do
    list[i] = {fault = row.id, what = row.what, cost = row.cost, advice = row.advice}
  end
  return setmetatable(list, {__tostring = function()
    local lines = {}
    for i, f in ipairs(list) do lines[i] = ("%-22s %s"):format(f.fault, f.what) end
    return table.concat(lines, "\n")
  end})
end

return lint
