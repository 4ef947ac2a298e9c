-- Which experts a run's tokens went to, step by step: recorded by router "record", kept in a file,
-- and forced again by router "replay".
--
-- The file is a .safetensors of
--     about      i32 (5): version 1, E, K, M micro-batches of a step, the number of the first step
--     router     u8: the router whose choices they are, as "NAME option=value ..."
--     routing.L  f16 (steps * M, N * K): the experts, from 1, and negative those that the router
--                chose and left out; a row a micro-batch of N tokens, in their order.  L is the
--                layer's number, and of further mixtures their name behind it: 2.memory.  f16 has
--                whole numbers up to 2048, and is read where it lies in the file
--
-- One of a text (trace(m, text):save, lua/lab/trace_file.lua) is of one step and one micro-batch,
-- and has beside it
--     tokens     i32 (T): the text; inputs: of a model with an encoder those of its inputs
--     trace      u8: JSON, whose `unforced` says why it cannot be forced, where it cannot
-- It is forced in evaluation: each token of a row that is the text's, as are all before it, goes to
-- the experts that it went to; all others go where they would.
--
--  1. Rows are of successive steps from the first one; one that is missing (a rewind, a hook that
--     came late) is refused when it is recorded.
--  2. What is recorded is what ctx:choose or ctx:take gave, so that gates and losses come of the
--     same choices when these are forced, and what became of it.
--  3. A trace that is written again is read again: each program that is recorded has the file as it
--     was then.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

local trace = {}
local VERSION, MOST = 2, 2048
trace.VERSION = VERSION

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

--- The same backwards, of what a model has as its router; nil and why there is no such text.
function trace.text_of(given)
  local name = routing.name_of(given)
  if name == "record" or name == "replay" then
    return nil, ("the router '%s' stands for another"):format(name)
  end
  local words = {}
  for key, v in pairs(type(given) == "table" and given or {}) do
    if type(key) == "string" and key ~= "name" then
      local word = ("%s=%s"):format(key, tostring(v))
      if type(v) == "table" or word:find "%s" then
        return nil, ("the option %s of router '%s' is no word"):format(key, name)
      end
      words[#words + 1] = word
    end
  end
  table.sort(words)
  table.insert(words, 1, name)
  return table.concat(words, " ")
end

--- The router that a text says, and its options.
local function named(text)
  local name, o = trace.parse(text)
  local router = routing.find("of", name)
  if router.like then fail("router '%s' stands for another itself", name) end
  return router, routing.options("of", router, o, {})
end

--- The router that a text says, as what stands for it takes it: with its options where fields go by
-- them.
function trace.stands_for(text)
  local router, own = named(text)
  return setmetatable({
    frozen = router.frozen or rawget(own, "frozen"),
    reach = router.reach and function(on) return router.reach(on, own) end,
  }, {__index = router})
end

--- Route by the router that a text says; afterwards ctx is that router's.
function trace.route_by(text, ctx)
  local router, own = named(text)
  ctx.options, ctx._router = own, router
  nn.description().model:_add_definition(("router '%s'"):format(router.name), router.definition)
  local r, learns = router.route(ctx), ctx.mode == "train" or ctx.mode == "build"
  if learns and not (ctx._chosen and r.experts and r.experts.shape[2] == ctx.K) then
    fail("router '%s' does not give each token K experts that ctx:choose or ctx:take says: its "
      .. "choices cannot be recorded", router.name)
  end
  return r
end

--- What is wrong with the router that a text says, or nil.
function trace.wrong_router(text, E, K)
  local good, why = pcall(function()
    local router, own = named(text)
    if not router.causal then fail("router '%s' sees later tokens", router.name) end
    routing.check("of", router, {experts = E, top_k = K}, own)
  end)
  return not good and tostring(why) or nil
end

-- ---- recording ----

-- (1, N*K) f32 as (M, N*K), in the micro-batch's row, with 0 in the others.
local function in_its_row(row, M)
  if M == 1 then return row end
  local numbers = {}
  for i = 1, M do numbers[i] = {i - 1} end
  return tensor(numbers):eq(trace.micro_batch():view(1, 1)):where(row, tensor.zeros(1))
end

--- Keep the choices of all micro-batches of a step, in their order: m._recorded has them when the
-- step is done.
function trace.keep(ctx, r, of)
  local d, M = nn.description(), nn.micro_batches()
  if (ctx._choices or 0) > MOST then
    fail("there are %d choices, a trace has at most %d", ctx._choices, MOST)
  end
  if not nn._learns(d) then return end
  local place, chosen = trace.place(), ctx._chosen:cast "f32"
  if r.fewer then chosen = r.experts:gt(0):where(chosen, chosen * -1) end
  local row = in_its_row(chosen:view(1, -1), M)
  local kept = d.carried[place] or tensor.zeros(row.shape)
  d.carried[place] = kept
  d.graph:carry(kept, d.kind == "add" and kept + row or row)
  d.model._recorded = d.model._recorded or {}
  d.model._recorded[place] = {kept = kept, E = ctx.E, K = ctx.K, of = of}
end

local Recorder = {__name = "routing recorder"}
Recorder.__index = Recorder

function Recorder.__tostring(self)
  return ("routing of %s: %d steps from %d, %s"):format(self.run.name, self.steps, self.first or 0,
    engine.bytes(self.bytes))
end

local function take(self)
  local step = self.run.step
  self.first = self.first or step
  if step ~= self.first + self.steps then
    error(("record: step %d follows step %d of what was recorded from %d"):format(step,
      self.first + self.steps - 1, self.first), 0)
  end
  self.steps = self.steps + 1
  for place, now in pairs(self.run._m._recorded) do
    local rows, kept = self.rows[place] or {}, now.kept:cast "f16"
    self.rows[place] = rows
    local before = rows[1] or kept
    if kept.shape[1] ~= before.shape[1] or kept.shape[2] ~= before.shape[2] then
      error(("record: a step is of %d x %d choices now; it was of %d x %d"):format(kept.shape[1],
        kept.shape[2], before.shape[1], before.shape[2]), 0)
    end
    rows[#rows + 1], self.bytes = kept, self.bytes + 2 * kept.size
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

--- recorder:save(path) -> true, and the recording is over; nil, message, code
function Recorder:save(path)
  if self.steps == 0 then error("record: no step has been recorded", 2) end
  local a = self.about
  local all = {
    about = tensor({VERSION, a.E, a.K, self.M, self.first}, {dtype = "i32"}),
    router = tensor({a.of:byte(1, -1)}, {dtype = "u8"}),
  }
  for place, rows in pairs(self.rows) do all[place] = joined(rows) end
  local ok, why, code = tensor.save(path, all)
  if ok then self.hook:remove() end
  return ok, why, code
end

-- What all mixtures of a model that is trained have in common: {E=, K=, of=}, and the bytes of a
-- step.
local function common(recorded)
  local first, bytes = nil, 0
  for place, now in pairs(recorded) do
    first = first or now
    bytes = bytes + 2 * now.kept.size
    if now.E ~= first.E or now.K ~= first.K or now.of ~= first.of then
      fail("record: %s has %d of %d experts by %s, another mixture %d of %d by %s: a trace has one "
        .. "kind", place, now.K, now.E, now.of, first.K, first.E, first.of)
    end
  end
  return first, bytes
end

--- nn.record(r), in routers.lua
function trace.record(r)
  local m = type(r) == "table" and rawget(r, "_m")
  if not m then fail("record: takes a run, got %s", type(r)) end
  if not m._recorded then fail("record: the model's router is not \"record\"") end
  local about, bytes = common(m._recorded)
  local self = setmetatable({run = r, about = about, M = r.accumulate, steps = 0, bytes = 0,
                             rows = {}}, Recorder)
  self.hook = every(r, 1, function() take(self) end)
  engine.event(r.name, "note", ("recording: %s a step are kept in memory until recorder:save")
    :format(engine.bytes(bytes)))
  return self
end

-- ---- reading ----

local function check_rows(path, f)
  local a = f.about
  for name, rows in pairs(f.tensors) do
    if name:find "^routing%." then
      local good = #rows.shape == 2 and rows.shape[2] % a.K == 0 and rows.shape[1] % a.M == 0
      if not good then
        fail("'%s' is no routing trace: %s is (%s); K is %d, M %d", path, name,
          table.concat(rows.shape, ", "), a.K, a.M)
      end
      f.steps = rows.shape[1] // a.M
    end
  end
  if not f.steps then fail("'%s' is no routing trace: it has no routing.L", path) end
end

local function is_list(t, dtype, least)
  return t and t.dtype == dtype and #t.shape == 1 and t.size >= least
end

-- Raises for a text's trace that says why it cannot be forced.
local function check_forced(path, tensors)
  if type(tensors) ~= "table" or not is_list(tensors.trace, "u8", 1) then return end
  local head = engine.json(string.char(table.unpack(tensors.trace:table())))
  local why = type(head) == "table" and head.unforced
  if type(why) == "string" and why ~= "" then
    fail("'%s' cannot be forced: %s", path, engine.clean(why))
  end
end

-- Of a text's trace as many tokens as it has choices for.
local function check_text(path, f)
  f.tokens, f.inputs = f.tensors.tokens, f.tensors.inputs
  if not f.tokens then return end
  for _, ids in ipairs {f.tokens, f.inputs} do
    if not is_list(ids, "i32", 1) then fail("'%s' is no trace of a text", path) end
  end
  for name, rows in pairs(f.tensors) do
    local n = name:find "^routing%." and rows.size // f.about.K
    if n and n ~= f.tokens.size and not (f.inputs and n == f.inputs.size) then
      fail("'%s' is no trace of a text: %s has %d tokens, the text %d", path, name, n,
        f.tokens.size)
    end
  end
end

--- The trace of a file: {about=, of=, tensors=, steps=}, and of a text {tokens=, inputs=}; raises
-- where it is none.
function trace.read(path)
  local tensors, why = tensor.load(path, {mapped = true})
  if not tensors then fail("%s", why) end
  check_forced(path, tensors)
  if type(tensors) ~= "table" or not is_list(tensors.about, "i32", 5)
    or not is_list(tensors.router, "u8", 1) then
    fail("'%s' is no routing trace: about or router is missing", path)
  end
  local a = tensors.about:table()
  if a[1] ~= VERSION then
    fail("'%s' is of version %d; this program reads %d", path, a[1], VERSION)
  end
  local of = string.char(table.unpack(tensors.router:table()))
  local f = {tensors = tensors, of = of, path = path,
             about = {E = a[2], K = a[3], M = a[4], first = a[5]}}
  check_rows(path, f)
  check_text(path, f)
  return f
end

--- The same for the program that is recorded, all of whose layers have one.
function trace.of(path)
  local d = nn.description()
  d.traces = d.traces or {}
  d.traces[path] = d.traces[path] or trace.read(path)
  return d.traces[path]
end

--- What does not fit a model of E experts and K a token, or nil.
function trace.misfit(f, E, K)
  local a = f.about
  if a.E ~= E then return ("experts is %d, the trace's %d"):format(E, a.E) end
  if a.K ~= K then return ("top_k is %d, the trace's %d"):format(K, a.K) end
  if E > MOST then return ("experts is %d, a trace has at most %d"):format(E, MOST) end
end

-- A run's first step is 1; behind the last one it cannot go on, however many steps it is given
-- later.
local function check_steps(f)
  local d, first, last = nn.description(), f.about.first, f.about.first + f.steps - 1
  if first > 1 then fail("the trace begins with step %d, a run with step 1", first) end
  if d.steps and d.steps > last then
    fail("steps is %d, the trace ends at step %d", d.steps, last)
  end
  if d.ends and last < (d.ends.step or math.huge) then
    d.ends.step, d.ends.why = last, ("the trace '%s' ends at step %d"):format(f.path, last)
  end
end

--- Choices (N,K) f32 of the micro-batch that is computed, negative where they were left out.
function trace.rows(f, ctx)
  local place, a, M = trace.place(), f.about, nn.micro_batches()
  local rows = f.tensors[place] or fail("the trace has no %s", place)
  if rows.shape[2] ~= ctx.N * ctx.K then
    fail("a micro-batch has %d tokens (%d x %d), the trace's %d", ctx.N, ctx.B, ctx.T,
      rows.shape[2] // ctx.K)
  end
  if a.M ~= M then fail("accumulate is %d, the trace's %d", M, a.M) end
  check_steps(f)
  local at = (nn.step() - a.first) * M + trace.micro_batch()
  return rows:embedding(at:view(1):cast "i32"):view(ctx.N, ctx.K):cast "f32"
end

-- (1,T) i32: the text's ids, -2 behind their end.
local function ids_of_text(ids, T)
  local n = math.min(T, ids.size)
  local list = ids:narrow(1, 1, n):table()
  for i = n + 1, T do list[i] = -2 end
  return tensor(list, {dtype = "i32"}):view(1, T)
end

--- Choices (N,K) f32 of the tokens that are the text's, as are all before them in their row; 0 of
-- all others.
function trace.rows_of_text(f, ctx)
  local place, T, K = trace.place(), ctx.T, ctx.K
  local ids = nn.description().side == "input" and f.inputs or f.tokens
  local rows = f.tensors[place] or fail("the trace has no %s", place)
  local n = math.min(T, ids.size)
  if rows.size ~= ids.size * K then fail("%s is of another text", place) end
  local given = rows:cast("f32"):view(-1, K):narrow(1, 1, n):contiguous()
  if n < T then given = given:cat(tensor.zeros(T - n, K), 1) end
  local other = ctx:ids():view(ctx.B, T):eq(ids_of_text(ids, T)):logical_not():cast "f32"
  local same = other:cumsum(-1):eq(0):view(ctx.B, T, 1):cast "f32"
  return (same * given:view(1, T, K)):view(ctx.N, K)
end

return trace
