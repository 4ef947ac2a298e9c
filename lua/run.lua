-- train(m, d, {...}) -> run, and what a run can do (API.md, Training).
--
-- A run's program is traced here, its steps are executed by the trainer's thread in C.  Setting a field
-- takes effect between two steps; what changes a shape traces and plans again meanwhile.

local engine = require "switchyard.engine"
local nn = require "switchyard.nn"
local options = require "switchyard.options"
local Model = require("switchyard.model").Model

local runs = {list = {}, by_name = {}}
local Run = {}

-- ---- tracing and planning ----

-- carried: tensors that gather over micro-batches, by name; the same in `first` and `more`.
local function trace(m, kind, params, o, carried)
  local loss, total
  local function result(d)
    local targets = d.graph:input("targets", "i32", {o.batch, o.context})
    loss = Model.loss_of(d.result, targets)
    total = loss
    for _, aux in ipairs(d.aux) do total = total + aux end
    d.phase = engine.phase(d.graph, kind, loss, total, params, o.recompute)
  end
  local d = m:_record({mode = kind == "eval" and "eval" or "train", precision = o.precision, kind = kind,
    accumulate = o.accumulate, carried = carried}, o.batch, o.context, result)
  return d.phase
end

local function make_plan(m, params, o)
  local carried = {}
  local first = trace(m, "first", params, o, carried)
  local more = o.accumulate > 1 and trace(m, "more", params, o, carried) or nil
  local eval = trace(m, "eval", params, o)
  return engine.plan(first, more, eval, o.batch, o.context, o.accumulate)
end

-- ---- options ----

local function rows()
  local list = {}
  for i, h in ipairs(engine.hyper()) do
    local default = h.default
    if default and default < 0 then default = nil end
    if h.integer and default then default = math.tointeger(default) end
    list[i] = {h.name, h.integer and "integer" or "number", default, h.least, h.most, help = h.help}
  end
  for _, row in ipairs {
    {"schedule", "string", "cosine", help = "cosine, wsd, linear or constant"},
    {"optimizer", "string", "adamw", help = "adamw"},
    {"precision", "string", "fp32", help = "of matrix products: fp32, or bf16 (rounded operands, fp32 sums)"},
    {"recompute", "boolean", false, help = "keep only what passes between layers and compute the rest again in the backward pass: less memory, more time"},
    {"name", "string", nil, help = "of the run; default: two words"},
    {"paused", "boolean", false, help = "wait for r:resume() before the first step"},
    {"sampling", "string", "random", help = "windows of text: random, epoch or sequential"},
  } do list[#list + 1] = row end
  return list
end

local function one_of(what, name, value, names)
  for i, n in ipairs(names) do
    if n == value then return i - 1 end
  end
  options.unknown(what, name, value, names)
end

local function read_options(m, given)
  local o = options.read("train", given, rows())
  one_of("train", "schedule", o.schedule, {"cosine", "wsd", "linear", "constant"})
  one_of("train", "optimizer", o.optimizer, {"adamw"})
  one_of("train", "precision", o.precision, {"fp32", "bf16"})
  o.sampling = one_of("train", "sampling", o.sampling, {"random", "epoch", "sequential"})
  if not o.context or o.context == 0 then o.context = m.cfg.context end
  if o.context > m.cfg.context then
    error(("train: context is %d, more than the model's %d"):format(o.context, m.cfg.context), 0)
  end
  return o
end

local first_words = {"amber", "bold", "brisk", "calm", "clear", "cosmic", "crisp", "eager", "early", "fleet", "gentle",
  "golden", "grand", "hidden", "icy", "jolly", "keen", "late", "light", "lucky", "mellow", "misty", "noble", "quiet",
  "rapid", "royal", "rustic", "sharp", "silent", "silver", "sly", "solid", "steady", "sunny", "swift", "tidy", "vivid",
  "warm", "wild", "young"}
local second_words = {"badger", "beacon", "canyon", "cedar", "comet", "condor", "coral", "crane", "delta", "ember",
  "falcon", "ferret", "finch", "fjord", "gecko", "glade", "harbor", "heron", "ibex", "junco", "kestrel", "lagoon",
  "lark", "lynx", "maple", "marten", "meadow", "otter", "pike", "prairie", "quail", "raven", "reef", "sable", "signal",
  "sparrow", "summit", "tern", "thicket", "willow"}

local function fresh_name()
  local at = engine.entropy()
  for _ = 1, #first_words * #second_words do
    local name = first_words[at % #first_words + 1] .. "-" .. second_words[at // 64 % #second_words + 1]
    if not runs.by_name[name] then return name end
    at = at + 67
  end
  return "run-" .. #runs.list + 1
end

-- ---- starting ----

local function bytes_text(n)
  if n >= 1e9 then return ("%.2f GB"):format(n / 1e9) end
  return ("%.1f MB"):format(n / 1e6)
end

local function say_size(r, m, arena, o)
  local c = m:count()
  engine.line(("%s: %.2f M parameters (%.2f M active), %d tokens a step, %s; memory: %s state, %s activations")
    :format(r.name, c.total / 1e6, c.active / 1e6, o.batch * o.context * o.accumulate, o.precision,
      bytes_text(c.total * 16), bytes_text(arena)))
end

local function tensors_of(m)
  local names, experts, states = {}, {}, {}
  for i, info in ipairs(m._info) do
    names[i], experts[i] = info.name, info.experts
  end
  for i, name in ipairs(m._state_names) do states[i] = m.states[name] end
  return m.params, names, experts, states
end

local function start(m, d, given)
  if type(m) ~= "table" or not m._forward then error("train: argument 1 must be a model, got " .. type(m), 0) end
  if type(d) ~= "userdata" then error("train: argument 2 must be a dataset (see data.text), got " .. type(d), 0) end
  local o = read_options(m, given)
  if m._run and (m._run:status().state == "running" or m._run:status().state == "paused") then
    error("train: this model is being trained by run '" .. m._run_name .. "'; stop it first (r:stop())", 0)
  end
  if d.vocab > m.cfg.vocab then
    error(("train: the data has token ids up to %d, the model's vocab is %d"):format(d.vocab - 1, m.cfg.vocab), 0)
  end
  o.name = o.name or fresh_name()
  if #o.name == 0 or #o.name > 64 or o.name:find "[%c/\\]" or o.name:sub(1, 1) == "." then
    error("train: name must be 1 to 64 characters without '/', control characters or a leading dot: it is '" .. o.name .. "'", 0)
  end
  if runs.by_name[o.name] then error("train: there is a run called '" .. o.name .. "' already", 0) end
  engine.check_batch(d, o.batch, o.context)
  m._programs = {} -- their memory is better used by the run; made anew when asked for
  local params = engine.params(tensors_of(m))
  local plan, arena = make_plan(m, params, o)
  local r = setmetatable({}, Run)
  local function dispatch(step) Run._dispatch(r, step) end
  local handle = engine.trainer(o.name, params, plan, d, o, m:count(o.context).flops_per_token,
    o.precision == "bf16", dispatch)
  rawset(r, "_h", handle)
  rawset(r, "_m", m)
  rawset(r, "_o", o)
  rawset(r, "_d", d)
  rawset(r, "_hooks", {})
  rawset(r, "samples", {})
  if m._owner then rawset(m._owner, "_successor", o.name) end
  m._run, m._run_name, m._owner = handle, o.name, r
  runs.list[#runs.list + 1] = r
  runs.by_name[o.name] = r
  say_size(r, m, arena, o)
  if o.paused then handle:pause() end
  handle:start()
  return r
end

--- train(m, d, options) -> run, at once; the run goes on in its own thread
local function train(m, d, given)
  local ok, r = pcall(start, m, d, given)
  if not ok then options.raise(r, 2) end
  return r
end

-- ---- methods ----

local methods = {}

-- Parameters belong to the newest run of a model: an older one cannot go on.
local function check_goes_on(r, what)
  local by = rawget(r, "_successor")
  if by then error(("%s: the model of run '%s' has been trained by run '%s' since"):format(what, r.name, by), 3) end
end

--- r:wait(step): until that step, or until the run no longer runs
function methods:wait(step)
  if step ~= nil and math.type(step) ~= "integer" then
    error("wait: the step must be a whole number: it is " .. tostring(step), 2)
  end
  self._h:wait(step)
  return self
end

function methods:pause() self._h:pause() return self end
function methods:stop() self._h:stop() return self end

--- r:resume(): go on; after r.steps = n a run that was done goes on as well
function methods:resume()
  check_goes_on(self, "resume")
  self._h:resume()
  return self
end

--- r:steps(n): n more steps, then pause
function methods:steps(n)
  if math.type(n) ~= "integer" or n < 1 then error("steps: must be a whole number from 1: it is " .. tostring(n), 2) end
  check_goes_on(self, "steps")
  local s = self._h:status()
  if s.state == "done" and s.step >= self._h:get("steps") then
    error(("steps: the run is done at step %d; set r.steps first"):format(s.step), 2)
  end
  self._h:steps(n)
  return self
end

--- r:close(): stop, and give back its memory; the model stays
function methods:close()
  local name = self.name
  self._h:close()
  for i, r in ipairs(runs.list) do
    if rawequal(r, self) then table.remove(runs.list, i) break end
  end
  runs.by_name[name] = nil
  if rawequal(self._m._owner, self) then self._m._run, self._m._owner = nil, nil end
end

--- r:eval(batches) -> nats a token on the validation text, without auxiliary losses
function methods:eval(batches)
  return self._m:_quietly(function() return self._h:eval(batches or self._h:get("eval_batches")) end)
end

--- r:sample(prompt, options) -> text of the model as it is between two steps
function methods:sample(prompt, given) return self._m:generate(prompt or "\n", given) end

--- r:checkpoint() -> path of the folder written: parameters, moments, states, step, journal.  The first one gives
-- the run its directory (r.dir); from then on checkpoint_every and the run's end save there as well.
function methods:checkpoint()
  local h = self._h
  if not h:dir() then
    if #engine.checkpoints(self.dir) > 0 then
      return nil, ("checkpoint: %s holds steps of an earlier run; train with another name"):format(self.dir), "STATE"
    end
    local ok, why, code = h:set_dir(self.dir)
    if not ok then return nil, why, code end
  end
  return h:checkpoint()
end

function methods:note(text)
  if type(text) ~= "string" then error("note: takes a text, got " .. type(text), 2) end
  self._h:note("note", text)
  return self
end

--- r:hash() -> 16 hex digits of parameters, moments and states
function methods:hash()
  return self._m:_quietly(function() return self._h:hash() end)
end

--- r:history(name) -> tensor (n,2) of step, value; name: loss val_loss lr tok_s grad_norm load.2.5 ...
function methods:history(name)
  local h = self._h:history(name)
  if h then return h end
  local base, column = tostring(name):match("^(.*)%.(%d+)$")
  h = base and self._h:history(base, tonumber(column))
  if h then return h end
  local names = {}
  for series in pairs(self._h:series()) do names[#names + 1] = series end
  table.sort(names)
  options.unknown("history", "series", name, names)
end

--- r:series() -> names of all stored series
function methods:series()
  local names = {}
  for series in pairs(self._h:series()) do names[#names + 1] = series end
  table.sort(names)
  return names
end

function methods:journal() return self._h:journal() end

--- r:profile() -> text: seconds a kind of operation since the last call
function methods:profile()
  return self._m:_quietly(function() return self._h:profile() end)
end

--- every(r, n, f): f(r) after every n-th step, between two steps
local function every(r, n, f)
  if getmetatable(r) ~= Run then error("every: argument 1 must be a run", 2) end
  if math.type(n) ~= "integer" or n < 1 then error("every: the interval must be a whole number from 1: it is " .. tostring(n), 2) end
  if type(f) ~= "function" then error("every: argument 3 must be a function, got " .. type(f), 2) end
  r._h:every(n)
  r._hooks[#r._hooks + 1] = {n = n, f = f}
end

--- r.samples: texts generated every r.sample_every steps, as {step=, text=}
local function take_sample(r, step)
  local text = r:sample("\n", {tokens = 80, seed = step})
  r.samples[#r.samples + 1] = {step = step, text = text}
  engine.line(("sample at step %d: %s"):format(step, text))
end

function Run._dispatch(r, step)
  local every_n = r._h:get("sample_every")
  if every_n > 0 and step % every_n == 0 then take_sample(r, step) end
  for _, hook in ipairs(r._hooks) do
    if step % hook.n == 0 then hook.f(r) end
  end
end

-- ---- layers and experts of a run ----

local Expert = {}
Expert.__index = Expert

local function set_mask(e, off)
  local name = "mask." .. e.layer
  local mask = e.run._m.inputs[name]
  local E = mask.size
  local values = mask:table()
  values[e.number] = off and -math.huge or 0
  local enabled = 0
  for i = 1, E do enabled = enabled + (values[i] == 0 and 1 or 0) end
  local K = e.run._m.layers[e.layer].moe.top_k
  if enabled < K then
    error(("disable: %d experts would remain in layer %d, a token needs %d"):format(enabled, e.layer, K), 0)
  end
  local fresh = tensor(values)
  engine.copy(mask, fresh)
  e.run._h:set_input(name, fresh)
end

--- expert:disable(): no token is sent to it from the next step on;  expert:enable() undoes it
function Expert:disable() set_mask(self, true) return self end
function Expert:enable() set_mask(self, false) return self end

local function prefix(e) return e.run._m._moe[e.layer].path .. ".experts." end

--- expert:freeze(): its parameters stay as they are;  expert:unfreeze() undoes it
function Expert:freeze()
  self.run._m:_quietly(function() self.run._h:freeze(prefix(self), self.number - 1, true) end)
  self.run._h:note("freeze", ("layer %d expert %d"):format(self.layer, self.number))
  return self
end

function Expert:unfreeze()
  self.run._m:_quietly(function() self.run._h:freeze(prefix(self), self.number - 1, false) end)
  self.run._h:note("unfreeze", ("layer %d expert %d"):format(self.layer, self.number))
  return self
end

--- expert:reset(): parameters drawn anew, moments cleared
function Expert:reset()
  local m = self.run._m
  m:_quietly(function()
    for i, info in ipairs(m._info) do
      if info.experts > 0 and info.name:sub(1, #prefix(self)) == prefix(self) then
        engine.fill(m.params[i][self.number], tonumber(info.init) or 0.02, m.cfg.seed + 1 + self.run.step, i)
        self.run._h:clear_moments(info.name, self.number - 1)
      end
    end
  end)
  self.run._h:note("reset", ("layer %d expert %d"):format(self.layer, self.number))
  return self
end

local function layers_of(r)
  return setmetatable({}, {
    __len = function() return #r._m.layers end,
    __index = function(_, l)
      local layer = r._m.layers[l]
      if not layer then return nil end
      local out = {number = l}
      local row = r._h:last("load." .. l)
      out.load = row and tensor(row) or nil
      if layer.moe then
        out.experts = setmetatable({}, {
          __len = function() return #layer.moe.experts end,
          __index = function(_, e)
            return layer.moe.experts[e] and setmetatable({run = r, layer = l, number = e}, Expert) or nil
          end,
        })
      end
      return out
    end,
  })
end

-- ---- fields ----

-- Fields that are read only; those of the status may be nil for want of a value.
local fields = {}
for name in ("state step tokens loss val_loss current_lr grad_norm tok_s mfu eta load_max_mean dead error " ..
             "name dir model layers samples precision recompute"):gmatch "%S+" do fields[name] = true end

local function model_inputs(r, name)
  return r._m.inputs[name]
end

local function field_names(r, reading)
  local names = {"top_k", "capacity", "schedule"}
  for _, h in ipairs(engine.hyper()) do names[#names + 1] = h.name end
  for _, name in ipairs(r._m._input_names) do names[#names + 1] = name end
  for name in pairs(reading and fields or {}) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function runs_folder()
  local folder = os.getenv "SWITCHYARD_RUNS"
  return folder and folder ~= "" and folder or "runs"
end

function Run.__index(r, name)
  if methods[name] then return methods[name] end
  if type(name) ~= "string" or name:sub(1, 1) == "_" then return nil end
  if name == "name" or name == "precision" or name == "recompute" or name == "optimizer" then return r._o[name] end
  if name == "layers" then return layers_of(r) end
  if name == "dir" then return r._h:dir() or runs_folder() .. "/" .. r.name end
  if name == "model" then return r._m end
  local v = r._h:get(name)
  if v ~= nil then return v end
  if fields[name] then return r._h:status()[name] end
  if name == "top_k" or name == "capacity" then return r._m.cfg[name] end
  local input = model_inputs(r, name)
  if input then return input.size == 1 and input:item() or input end
  local _, why = pcall(options.unknown, "run", "field", name, field_names(r, true))
  error(why, 2)
end

-- Trace and plan with changed shapes, then exchange the program between two steps.
local function replan(r)
  local m, h = r._m, r._h
  m:_quietly(function()
    local o = {batch = h:get("batch"), context = h:get("context"), accumulate = h:get("accumulate"),
               precision = r._o.precision, recompute = r._o.recompute}
    engine.check_batch(r._d, o.batch, o.context)
    if o.context > m.cfg.context then
      error(("train: context is %d, more than the model's %d"):format(o.context, m.cfg.context), 0)
    end
    if o.context < 1 then error("train: context is 0, must be at least 1", 0) end
    m._programs = {}
    local plan = make_plan(m, h, o)
    h:replan(plan, m:count(o.context).flops_per_token)
  end)
end

-- Experts of the layer that has the fewest enabled.
local function fewest_enabled(r)
  local fewest = math.huge
  for l in pairs(r._m._moe) do
    local n = 0
    for _, v in ipairs(r._m.inputs["mask." .. l]:table()) do n = n + (v == 0 and 1 or 0) end
    fewest = math.min(fewest, n)
  end
  return fewest
end

local function check_routing(r, name, value)
  local most = r._m.cfg.experts
  if not most then error("train: " .. name .. ": this model has no experts", 3) end
  if name == "top_k" then
    most = math.min(most, fewest_enabled(r))
    if math.type(value) ~= "integer" or value < 1 or value > most then
      error(("train: top_k must be a whole number from 1 to %d: it is %s"):format(most, tostring(value)), 3)
    end
  elseif value ~= nil and (type(value) ~= "number" or not (value >= 0.01 and value <= 1e6)) then
    error("train: capacity must be a number from 0.01 to 1e6, or nil: it is " .. tostring(value), 3)
  end
end

local function set_shape(r, name, value, undo)
  local ok, why = pcall(replan, r)
  if not ok then
    undo()
    options.raise(why, 3)
  end
end

function Run.__newindex(r, name, value)
  local ok, kind, old
  if name == "top_k" or name == "capacity" then
    local cfg = r._m.cfg
    check_routing(r, name, value)
    old = cfg[name]
    cfg[name] = value
    set_shape(r, name, value, function() cfg[name] = old end)
    return r._h:note("set", ("%s = %s"):format(name, tostring(value)))
  end
  local input = model_inputs(r, name)
  if input then
    local fresh = type(value) == "number" and tensor.full(value) or value
    if type(fresh) ~= "userdata" or fresh.size ~= input.size then
      error(("train: %s takes %s"):format(name, input.size == 1 and "a number" or input.size .. " numbers"), 2)
    end
    engine.copy(input, fresh)
    return r._h:set_input(name, fresh)
  end
  old = r._h:get(name)
  if fields[name] or methods[name] and old == nil then error(("run: %s cannot be set"):format(name), 2) end
  if old == nil then
    ok, kind = pcall(options.unknown, "train", "field", name, field_names(r))
    options.raise(kind, 2)
  end
  ok, kind = pcall(r._h.set, r._h, name, value)
  if not ok then options.raise(kind, 2) end
  if kind == "plan" then
    set_shape(r, name, value, function() r._h:set(name, old) end)
  end
end

local blocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

--- Sparkline of a series in `width` cells: means of equal stretches.
local function sparkline(h, width)
  local n = h.shape[1]
  if n == 0 then return "" end
  local values, low, high = {}, math.huge, -math.huge
  for cell = 1, math.min(width, n) do
    local first, last = (cell - 1) * n // math.min(width, n) + 1, cell * n // math.min(width, n)
    local v = h:narrow(1, first, last - first + 1):narrow(2, 2, 1):mean():item()
    values[cell], low, high = v, math.min(low, v), math.max(high, v)
  end
  for i, v in ipairs(values) do
    values[i] = blocks[high > low and math.min(8, 1 + (v - low) / (high - low) * 8 // 1 | 0) or 1]
  end
  return table.concat(values)
end

function Run.__tostring(r)
  if runs.by_name[r.name] ~= r then return ("run %s: closed"):format(r.name) end
  local s = r._h:status()
  local line = ("run %s: %s, step %d/%d"):format(r.name, s.state, s.step, s.steps)
  if s.loss then line = line .. (", loss %.3f"):format(s.loss) end
  if s.val_loss then line = line .. (", val %.3f"):format(s.val_loss) end
  if s.tok_s then line = line .. (", %.0f tok/s"):format(s.tok_s) end
  if s.mfu then line = line .. (", mfu %.0f%%"):format(100 * s.mfu) end
  if s.load_max_mean then line = line .. (", load max/mean %.2f, dead %d"):format(s.load_max_mean, s.dead) end
  if s.error then line = line .. "\n  " .. s.error end
  if s.step > 0 then line = line .. "\n  loss " .. sparkline(r._h:history("loss"), 60) end
  return line
end

Run.__name = "run"
Run.methods, Run.fields = methods, fields -- for completion

-- ---- globals ----

local function all_runs(name)
  if name == nil then
    local list = {}
    for i, r in ipairs(runs.list) do list[i] = r end
    return setmetatable(list, {__tostring = function(l)
      local lines = {}
      for i, r in ipairs(l) do lines[i] = tostring(r) end
      return #lines > 0 and table.concat(lines, "\n") or "no runs yet"
    end})
  end
  if not runs.by_name[name] then
    local names = {}
    for i, r in ipairs(runs.list) do names[i] = r.name end
    local ok, why = pcall(options.unknown, "runs", "run", name, names)
    if not ok then options.raise(why, 2) end
  end
  return runs.by_name[name]
end

--- compare{r1, r2, ...} -> a table, printed by columns
local function compare(list)
  if type(list) ~= "table" or #list == 0 then error("compare: takes a list of runs", 2) end
  local lines = {("%-20s %8s %9s %9s %9s %10s %6s"):format("run", "step", "loss", "val", "lr", "tok/s", "mfu")}
  for i, r in ipairs(list) do
    if getmetatable(r) ~= Run then error("compare: element " .. i .. " is not a run", 2) end
    local s = r._h:status()
    local function text(format, v) return v and format:format(v) or "-" end
    lines[#lines + 1] = ("%-20s %8d %9s %9s %9.1e %10s %6s"):format(r.name, s.step, text("%.3f", s.loss),
      text("%.3f", s.val_loss), s.current_lr, text("%.0f", s.tok_s), text("%.0f%%", s.mfu and 100 * s.mfu))
  end
  return setmetatable({runs = list}, {__tostring = function() return table.concat(lines, "\n") end})
end

return {rows = rows, train = train, every = every, runs = all_runs, compare = compare, Run = Run}
