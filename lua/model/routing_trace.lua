-- Which experts a run's tokens went to, step by step: recorded by router "record", kept in a file,
-- and forced again by router "replay".
--
-- The file is a .safetensors of
--     about      i32 (6): version 1, E, K, N tokens of a micro-batch, M micro-batches of a step,
--                the number of the first step
--     router     u8: the router whose choices they are, as "NAME option=value ..."
--     routing.L  f16 (steps * M, N * K): the experts, from 1; a row a micro-batch, in their order.
--                L is the layer's number, and of further mixtures their name behind it: 2.memory.
--                f16 has whole numbers up to 2048, and is read where it lies in the file
--
--  1. Rows are of successive steps from the first one; one that is missing (a rewind, a hook that
--     came late) is refused when it is recorded.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

local trace = {}
local VERSION, MOST = 1, 2048

local function fail(...) error(string.format(...), 0) end

--- The name of what belongs to this mixture.
function trace.place()
  local d = nn.description()
  if not d.layer then fail("it is in no layer (nn.layer), so its rows have no name") end
  return "routing." .. d.model:_place(d.layer, d.mixture and d.mixture.name)
end

--- The number of the micro-batch in its step, (1) f32 from 0.
function trace.micro_batch()
  if nn.micro_batches() == 1 then return tensor.zeros(1) end
  local d = nn.description()
  if d.kind == "count" then return d.graph:input("micro", "i32", {}):view(1):cast "f32" end
  return nn.step_sum("routing.micro", tensor.ones(1)) - 1
end

--- "NAME option=value ..." as a name and its options.
function trace.parse(text)
  local name, o = nil, {}
  for word in text:gmatch "%S+" do
    local key, value = word:match "^([%w_]+)=(.*)$"
    if not name then name = word
    elseif not key then fail("of has '%s'; it must be NAME option=value ...", word)
    elseif value == "true" or value == "false" then o[key] = value == "true"
    else o[key] = tonumber(value) or value end
  end
  if not name then fail("of is empty; it must be NAME option=value ...") end
  o[1] = name
  return name, o
end

--- Route by the router that a text says; afterwards ctx is that router's.
function trace.route_by(text, ctx)
  local name, o = trace.parse(text)
  local router = routing.find("of", name)
  ctx.options = routing.options("of", router, o, {})
  ctx._router = router
  return router.route(ctx)
end

--- What is wrong with the router that a text says, or nil.
function trace.wrong_router(text, E, K)
  local good, why = pcall(function()
    local name, o = trace.parse(text)
    local router = routing.find("of", name)
    if not router.causal then fail("router '%s' sees later tokens", name) end
    routing.check("of", router, {experts = E, top_k = K}, routing.options("of", router, o, {}))
  end)
  return not good and tostring(why) or nil
end

-- ---- recording ----

--- Keep the choices (N,K) of all micro-batches of a step, in their order: m._recorded has them when
-- the step is done.
function trace.keep(ctx, experts)
  local d, M = nn.description(), nn.micro_batches()
  if d.mode ~= "train" or d.kind == "count" then return end
  local place, row = trace.place(), experts:cast("f32"):view(1, -1)
  if M > 1 then
    local numbers = {}
    for i = 1, M do numbers[i] = {i - 1} end
    row = tensor(numbers):eq(trace.micro_batch():view(1, 1)):cast("f32"):matmul(row)
  end
  local kept = d.carried[place] or tensor.zeros(row.shape)
  d.carried[place] = kept
  d.graph:carry(kept, d.kind == "add" and kept + row or row)
  d.model._recorded = d.model._recorded or {}
  d.model._recorded[place] = kept
end

local Recorder = {__name = "routing recorder"}
Recorder.__index = Recorder

function Recorder.__tostring(self)
  return ("routing of %s: %d steps from %d"):format(self.run.name, self.steps, self.first or 0)
end

local function take(self)
  local step = self.run.step
  self.first = self.first or step
  if step ~= self.first + self.steps then
    error(("record: step %d follows step %d of what was recorded from %d"):format(step,
      self.first + self.steps - 1, self.first), 0)
  end
  self.steps = self.steps + 1
  local a = self.about
  for place, kept in pairs(self.run._m._recorded) do
    local rows = self.rows[place] or {}
    self.rows[place] = rows
    if kept.shape[1] ~= a.M or kept.shape[2] ~= a.N * a.K then
      error(("record: a step is of %d x %d choices now; it was of %d x %d"):format(kept.shape[1],
        kept.shape[2], a.M, a.N * a.K), 0)
    end
    rows[#rows + 1] = kept:cast "f16"
  end
end

-- Tensors (M, N*K) f16 one below the other.
local function joined(rows)
  local M, width = rows[1].shape[1], rows[1].shape[2]
  local all = tensor.zeros(#rows * M, width)
  for i, row in ipairs(rows) do
    engine.copy(all:narrow(1, (i - 1) * M + 1, M), row:cast "f32")
  end
  return all:cast "f16"
end

--- recorder:save(path) -> true; nil, message, code
function Recorder:save(path)
  if self.steps == 0 then error("record: no step has been recorded", 2) end
  local bytes, a = {self.of:byte(1, -1)}, self.about
  local all = {
    about = tensor({VERSION, a.E, a.K, a.N, a.M, self.first}, {dtype = "i32"}),
    router = tensor(bytes, {dtype = "u8"}),
  }
  for place, rows in pairs(self.rows) do all[place] = joined(rows) end
  return tensor.save(path, all)
end

--- nn.record(r), in mixture.lua
function trace.record(r)
  local m, of = r._m, nil
  local cfg = m.cfg.router
  if type(cfg) == "table" and cfg.name == "record" then of = cfg.of end
  if cfg == "record" then of = nn.routers.record.rows[1][3] end
  if not of then error("record: the model's router is not \"record\"", 0) end
  local self = setmetatable({run = r, of = of, steps = 0, rows = {}}, Recorder)
  local M, N = r.accumulate, r.batch * r.context
  self.about = {E = m.cfg.experts, K = m.cfg.top_k, N = N, M = M}
  self.hook = every(r, 1, function() take(self) end)
  return self
end

-- ---- reading ----

local open = {} -- by path: what was read, while somebody uses it
setmetatable(open, {__mode = "v"})

local function check_rows(path, f)
  local a = f.about
  for name, rows in pairs(f.tensors) do
    if name:find "^routing%." then
      local good = #rows.shape == 2 and rows.shape[2] == a.N * a.K and rows.shape[1] % a.M == 0
      if not good then
        fail("'%s' is no routing trace: %s is (%s); N*K is %d, M %d", path, name,
          table.concat(rows.shape, ", "), a.N * a.K, a.M)
      end
      f.steps = rows.shape[1] // a.M
    end
  end
  if not f.steps then fail("'%s' is no routing trace: it has no routing.L", path) end
end

local function is_list(t, dtype, least)
  return t and t.dtype == dtype and #t.shape == 1 and t.size >= least
end

--- The trace of a file: {about=, of=, tensors=, steps=}; raises where it is none.
function trace.read(path)
  if open[path] then return open[path] end
  local tensors, why = tensor.load(path, {mapped = true})
  if not tensors then fail("%s", why) end
  if type(tensors) ~= "table" or not is_list(tensors.about, "i32", 6)
    or not is_list(tensors.router, "u8", 1) then
    fail("'%s' is no routing trace: about or router is missing", path)
  end
  local a = tensors.about:table()
  if a[1] ~= VERSION then
    fail("'%s' is of version %d; this program reads %d", path, a[1], VERSION)
  end
  local of = string.char(table.unpack(tensors.router:table()))
  local f = {tensors = tensors, of = of,
             about = {E = a[2], K = a[3], N = a[4], M = a[5], first = a[6]}}
  check_rows(path, f)
  open[path] = f
  return f
end

--- What does not fit a model of E experts and K a token, or nil.
function trace.misfit(f, E, K)
  local a = f.about
  if a.E ~= E then return ("experts is %d, the trace's %d"):format(E, a.E) end
  if a.K ~= K then return ("top_k is %d, the trace's %d"):format(K, a.K) end
  if E > MOST then return ("experts is %d, a trace has at most %d"):format(E, MOST) end
end

--- Experts (N,K) i32 of the micro-batch that is computed.
function trace.rows(f, ctx)
  local place, a, M = trace.place(), f.about, nn.micro_batches()
  if a.N ~= ctx.N then
    fail("a micro-batch has %d tokens (%d x %d), the trace's %d", ctx.N, ctx.B, ctx.T, a.N)
  end
  if a.M ~= M then fail("accumulate is %d, the trace's %d", M, a.M) end
  local rows = f.tensors[place] or fail("the trace has no %s", place)
  local steps = nn.description().steps
  if steps and steps > a.first + f.steps - 1 then
    fail("steps is %d, the trace ends at step %d", steps, a.first + f.steps - 1)
  end
  local at = (nn.step() - a.first) * M + trace.micro_batch()
  return rows:embedding(at:view(1):cast "i32"):view(ctx.N, ctx.K):cast "i32"
end

return trace
