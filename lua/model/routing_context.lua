-- ctx: what a router's route(ctx) and a balance rule's functions are given.  B batch, T tokens of a
-- sequence, N = B*T, C width, E experts, K experts a token.
--
--   ctx.x (N,C)          the layer's input           ctx.E ctx.K ctx.N ctx.B ctx.T    whole numbers
--   ctx.mode             as nn.mode()                ctx.layer      its number, from 1
--   ctx.options          the router's own, by name   ctx:setting(name)    one of them, or of the
--                        balance rules', as a scalar that r.NAME changes while it runs, and that
--                        may go by the steps (lua/model/coefficient.lua)
--   ctx:logits{x=, w=, b=, init=, extra=, plus=} -> (N, E + extra) f32: x w^T + b + mask; x:
--                        default ctx.x; w: default the parameter gate.weight, which begins as init,
--                        and stays so with frozen = true; extra: rows for choices that are none of
--                        the E; plus: a function, whose result (N, E + extra) is added
--   ctx:linear(x, w, b)  as nn.linear, in fp32
--   ctx:choose(scores) -> values, experts (N,K): the K largest of a token, of equal ones the lower
--   ctx:take(experts) -> experts (N,K): the same of those that another rule than the K largest has
--                        chosen.  What is asked for by neither cannot be recorded and forced
--                        (routing_trace.lua); of routers of any number of experts nothing can
--   ctx:weight()         w of the first ctx:logits
--   ctx:mask() (E)       0, and -inf of a disabled expert; ctx:enabled() (E): 1, and 0 of it
--   ctx:bias() (E)       the state that chooses and does not weigh; the balance rule bias moves it
--   ctx:ids() (N) i32    token ids, from 0           ctx:documents() (B,T) i32: which document
--   ctx:positions() (T)  i32: places in the sequence, from 0
--   ctx:option(name)     the same of a text or a flag, which stays what it is
--   ctx:scope()          what balance losses are of: "micro", "sequence", "group" or "step"
--   ctx:groups()         how many groups of tokens a capacity keeps apart in training, else 1
--   ctx:padding() (N) bool of tokens that are padding, or nil where there are none
--   ctx:mean(x (N,...))  over the tokens that are no padding; ctx:sequence_means(x (N,E)) (B,E),
--                        or with a second argument of so many groups in place of the B sequences
--   ctx:count()          how many these are: ctx.N, or a tensor (1) where there may be padding;
--                        ctx:count("step"), in a balance rule: of the whole step, at least 1
--   ctx:weighed(mean, name)  with scope = "step" a mean over this micro-batch's tokens, times these
--                        over a micro-batch's mean number of them: what it adds to the step's;
--                        name: the coefficient that weighs it, while which is 0 nothing is counted
--   ctx:without_padding(x (N,M), value)  x with value (0) for padding
--   ctx:numbers() (N,E) i32: the experts' numbers, for each token
--   ctx:cutoffs(x (N,E), next)  of each column the value that a fair share of the tokens are at or
--                        over (K to each token, evenly to the enabled experts), or with next the
--                        one after it: (E), -inf where there are not so many
--   ctx:handed(name, x)  what the layer before in this stack handed on under this name, or nil; x:
--                        what this one does
--   ctx:balanced(f, g)   of a router with the row routing.BALANCED_EVAL: experts (N,M) by f(groups)
--                        in training, g() while a text is written, in evaluation as r.balanced_eval
--   ctx:load(scope)      in a balance rule: the experts' shares of the assignments before any drop;
--                        "micro" (E), "sequence" (B,E), "step" (E), of the whole step, known
--                        before its first micro-batch is learned from, "so_far" (E), of the step's
--                        micro-batches up to this one
--   ctx:whole(name, x)   in a balance rule: the sum of x over the whole step, likewise; x must not
--                        depend on it
--
--  1. Inputs, states and parameters come into being in the order in which they are asked for: the
--     hashes that guard stored runs are of the operations in their order.
--  2. The router is in fp32 whatever the precision of the experts (Fedus et al. 2021, section 2.4).
--  3. The logits of the first call are those that balance rules see.

local capacity = require "switchyard.model.capacity"
local engine = require "switchyard.engine"
local coefficient = require "switchyard.model.coefficient"
local fields = require "switchyard.core.fields"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"
local routing = require "switchyard.model.routing"
local rules = require "switchyard.model.token_rules"

local methods = {}
local Context = fields.class("ctx", methods, "x E K N B T mode layer options")

local function fail(...) error(string.format(...), 0) end -- routing.run says in what

local function in_precision(name, f, ...)
  local before = engine.precision(name)
  local y = f(...)
  engine.precision(before)
  return y
end

local LOGITS = {
  {"x", "any"}, {"w", "any"}, {"b", "any"}, {"init", "any"}, {"extra", "integer", 0, 0, 1 << 20},
  {"plus", "any"},
}

-- _low: as a router in bf16 would have it (router_health.lua).
function methods:linear(x, w, b)
  if not self._low then return in_precision("fp32", nn.linear, x, w, b) end
  return in_precision("bf16", nn.linear, x, w, b):cast("bf16"):cast("f32")
end

function methods:logits(given)
  local o = options.read("ctx:logits", given, LOGITS)
  if self._given_logits then
    if not given then return self._given_logits end
    fail("ctx:logits: with options, the router cannot be called as a function of logits")
  end
  local x = o.x or self.x
  local w = o.w or nn.param("gate.weight", {self.E + o.extra, x.shape[2]}, o.init,
    {role = "router"})
  local raw = self:linear(x, w, o.b)
  if o.plus then raw = raw + o.plus() end
  local watch = not self._raw and nn.description().watch -- lua/lab/specimen.lua
  if watch then raw = watch.logits(self, raw) end
  self._raw, self._weight = self._raw or raw, self._weight or w
  local mask = self:mask()
  return raw + (o.extra > 0 and mask:pad(1, 0, o.extra) or mask)
end

function methods:choose(scores)
  self._choices = scores.shape[2]
  if self._forced then
    self._chosen = self._forced
    return scores:gather(-1, self._forced), self._forced
  end
  local ruled = self:_by_rule()
  local by = ruled and rules.scores(self, ruled, scores) or scores
  self._by = self._by or by
  local values, experts = by:topk(self.K, -1)
  local other = self:_other_than(experts) or ruled and experts
  self._chosen = other or experts
  if other then return scores:gather(-1, other), other end
  return values, experts
end

function methods:take(experts)
  self._taken, self._choices = true, self.E
  experts = not self._forced and self:_obey(experts) or experts
  self._chosen = self._forced or self:_other_than(experts) or experts
  return self._chosen
end

-- Which tokens are forced to experts of this mixture, or kept from them (token_rules.lua), or nil.
function methods:_by_rule()
  local d = nn.description()
  local t = d and d.model and d.model._rules and rules.table(d.model, self._path, self.E)
  self._ruled = self._ruled or t and true
  return t
end

-- Experts (N,K) that another rule chose, as these want it.
function methods:_obey(experts)
  local t = self:_by_rule()
  return t and rules.taken(self, t, experts) or experts
end

-- What a trace of a text (self._told (N,K), 0: nothing) or a probe (lua/lab/probe.lua) puts in the
-- place of a token's experts, or nil; a router that is called as a function is under no
-- description.
function methods:_other_than(experts)
  local d, told = nn.description(), self._told
  if told then experts = told:gt(0):where(told, experts) end
  return d and d.instead and d.instead(self, experts) or told and experts
end

--- How it chose: "largest" of the E experts' scores, "among more", "taken" by another rule, or nil:
-- any number of experts.
function methods:_choice()
  if self._taken then return "taken" end
  return self._chosen and (self._choices == self.E and "largest" or "among more") or nil
end

function methods:weight()
  return self._weight or fail("ctx:weight: it is known when ctx:logits was called")
end

function methods:mask()
  local mixture = nn.description().mixture
  mixture.mask = mixture.mask or nn.input("mask", tensor.zeros(self.E))
  self._masked = true
  return mixture.mask
end

-- In a model of before the router sigmoid looked at a disabled expert's bias, which grew: what such
-- a model computes stays as it was.  cfg.sigmoid_mask: what new ones note.
function methods:_as_before()
  local d = nn.description()
  local m = d and d.mixture and d.model
  if self._router.name ~= "sigmoid" or not m then return self._router.name == "sigmoid" end
  if d.mode == "build" and not m._stored then m.cfg.sigmoid_mask = true end
  return not m.cfg.sigmoid_mask
end

function methods:handed(name, x)
  local d = nn.description()
  local key = name .. "." .. (d.stack or "")
  local before = d.handed[key]
  if x then d.handed[key] = x end
  return before
end

function methods:numbers()
  local numbers = {}
  for e = 1, self.E do numbers[e] = e end
  return tensor(numbers, {dtype = "i32"}):view(1, self.E):expand({self.N, self.E})
end

function methods:enabled() return self:mask():eq(0):cast "f32" end

function methods:bias()
  self._bias = nn.state("gate.e_score_correction_bias", tensor.zeros(self.E))
  return self._bias
end

-- A field of the batch that the layer's tokens have: of an encoder's layer that of the inputs.
local function field_of(self, name, of_inputs, what)
  local d = nn.description()
  local values = d.batch[d.side == "input" and of_inputs or name]
  if values.size == self.N then return values end
  fail("it goes by %s, and the layer has %d tokens where the model was given %d ids", what, self.N,
    values.size)
end

function methods:ids() return field_of(self, "tokens", "inputs", "token ids"):view(-1) end

function methods:documents()
  return field_of(self, "documents", "input_documents", "documents")
end

function methods:positions()
  local d = nn.description()
  if not d.side then return d.positions end
  local from_0 = {}
  for i = 1, self.T do from_0[i] = i - 1 end
  return tensor(from_0, {dtype = "i32"})
end

function methods:padding() return nn.description().padding end

function methods:mean(x)
  local padding = self:padding()
  if not padding then return #x.shape == 1 and x:mean() or x:mean(1) end
  local shape = {self.N}
  for i = 2, #x.shape do shape[i] = 1 end
  local sum = padding:view(shape):where(tensor.zeros(x.shape), x):sum(1)
  return sum / (self.N - padding:cast("f32"):sum()):maximum(tensor(1))
end

local function row_of(name, ...)
  for _, rows in ipairs {...} do
    for _, row in ipairs(rows) do
      if row[1] == name then return row end
    end
  end
end

-- The value of an option of the router, or of a balance rule, and its row.
local function value_of(self, what, name)
  local row = row_of(name, self._router.rows, routing.balance_rows(self._router))
  if not row then fail("ctx:%s: there is no option '%s'", what, tostring(name)) end
  local unmet = nn.description().unmet -- of what the model was given, what nothing has read yet
  if unmet then unmet[name] = nil end
  local value = self._coefficients[name]
  if value == nil then value = rawget(self.options, name) end
  if value == nil then value = row[3] end
  return value, row
end

function methods:option(name) return (value_of(self, "option", name)) end

function methods:scope()
  local has = row_of("scope", routing.balance_rows(self._router))
  return has and self:option "scope" or "micro"
end

function methods:groups() return capacity.groups(self._given.capacity, self) end

function methods:setting(name)
  local value, row = value_of(self, "setting", name)
  if type(value) ~= "number" and type(value) ~= "table" then
    fail("ctx:setting: %s is %s; what may change while it runs is a number", name,
      tostring(value))
  end
  return coefficient.tensor(row, value)
end

-- ---- tokens that are no padding ----

function methods:count(scope)
  if scope ~= nil and scope ~= "micro" and scope ~= "step" then
    options.unknown("ctx:count", "scope", scope, {"micro", "step"})
  end
  local padding, whole = nn.description().padding, scope == "step"
  if not padding then return whole and self.N * nn.micro_batches() or self.N end
  local n = padding:logical_not():cast("f32"):sum():view(1)
  return whole and self:whole("tokens", n):maximum(1) or n
end

function methods:weighed(mean, weight)
  local n = nn.micro_batches()
  if not self:padding() or n == 1 or self:scope() ~= "step" then return mean end
  local function of(step) return mean * (self:count() * n / step:maximum(1)):view {} end
  if not weight then return of(self:count "step") end
  return self:_where_weighed(weight, mean, function(known)
    return of(known(nn._step_total("tokens", self:count(), weight)))
  end)
end

function methods:without_padding(x, value)
  local padding = nn.description().padding
  if not padding then return x end
  return padding:view(self.N, 1):where(tensor.full({1}, value or 0, {dtype = x.dtype}), x)
end

function methods:cutoffs(x, next)
  x = self:without_padding(x, -math.huge)
  local rank = (self:count() * self.K / self:enabled():sum():view(1)):floor()
  if next then rank = rank + 1 end
  return x:kth({k = 1, dim = 1, rank = rank:cast "i32"}):view(self.E)
end

function methods:sequence_means(x, groups)
  local B = groups or self.B
  local T = self.N // B
  local padding, whole = self:padding(), x:view(B, T, -1)
  if not padding then return whole:mean(2) end
  local of_token = padding:view(B, T, 1)
  local count = (T - of_token:cast("f32"):sum(2)):maximum(1)
  return of_token:where(tensor.zeros(whole.shape), whole):sum(2) / count
end

-- ---- routers that balance in training and may not in evaluation ----

-- Said once, before a run begins.
local function say_balanced(self)
  nn.remark(("router %s: in training a token's experts go by all tokens of its micro-batch%s; in "
    .. "generation, and in evaluation unless balanced_eval is 1, by its own logits alone; series "
    .. "agreement: the share that is the same by both"):format(self._router.name,
    nn.description().stack == "encoder" and "" or ", later ones too"))
end

function methods:balanced(even, plain)
  local by_evaluation = self:setting "balanced_eval"
  if self.mode == "decode" or nn.description().as_written then return self:_obey(plain()) end
  if self.mode == "eval" then
    return self:_obey(by_evaluation:gt(0.5):where(even(self.B), plain()))
  end
  if self.mode == "train" then say_balanced(self) end
  local experts, others = self:take(even(1)), self:_obey(plain())
  local same = experts:view(self.N, -1, 1):eq(others:view(self.N, 1, -1)):cast("f32"):sum(-1)
  nn.observe("agreement", self:mean(same:mean(-1)))
  return experts
end

-- ---- loads ----

-- Assignments of each expert in the step's micro-batches up to this one: counts are whole numbers,
-- so the bits are those of one large batch.
local function counts_so_far(r)
  r.counts = r.counts or nn.step_sum(r.sum or "load", (r.load * r.count):round())
  return r.counts
end

local function load_so_far(r)
  if nn.micro_batches() == 1 then return r.load end
  local counts = counts_so_far(r)
  return counts / counts:sum():maximum(tensor.ones(1))
end

-- As fractions they have the bits of those of one large batch: a quotient of whole numbers is
-- rounded once.
local function shares(counts) return counts / counts:sum():maximum(tensor.ones(1)) end

local function total_counts(r, weight)
  return nn._step_total(r.sum or "load", (r.load * r.count):round(), weight)
end

local function load_of_all(self)
  local r = self._routing
  if nn.micro_batches() == 1 then return r.load end
  r.all = r.all or shares(total_counts(r))
  return r.all
end

--- Loads of a whole step, for what is updated after it.
function methods:_step_load()
  local r, n = self._routing, nn.micro_batches()
  if n == 1 or type(r.count) ~= "number" then return load_so_far(r) end
  r.whole = r.whole or counts_so_far(r) / (r.count * n)
  return r.whole
end

-- Where tokens are routed what is said of all of them is not known.
local function check_rule(self, what)
  if not self._routing then
    fail("ctx:%s: it is known when tokens are routed: in a balance rule", what)
  end
end

function methods:whole(name, x)
  check_rule(self, "whole")
  return nn._step_total(name, x)
end

--- f(known), which goes by a whole step, where the coefficient `name` is not 0; elsewhere, where
-- the step need not be counted for it, x.  known(total): nothing of a total of before is in it.
function methods:_where_weighed(name, x, f)
  self:setting(name)
  local off = nn.description().inputs[name]:eq(0)
  return off:where(x, f(function(total) return off:where(tensor.zeros(1), total) end))
end

--- ctx:load "step" of a loss that the coefficient `name` weighs.
function methods:_load_for(name)
  local r = self._routing
  if nn.micro_batches() == 1 then return r.load end
  return self:_where_weighed(name, r.load, function(known)
    return shares(known(total_counts(r, name)))
  end)
end

function methods:load(scope)
  local r = self._routing
  check_rule(self, "load")
  if scope == nil or scope == "micro" then return r.load end
  if scope == "step" then return load_of_all(self) end
  if scope == "so_far" then return load_so_far(r) end
  if scope ~= "sequence" and scope ~= "group" then
    options.unknown("ctx:load", "scope", scope, {"micro", "sequence", "group", "so_far", "step"})
  end
  local n = scope == "group" and self:groups() or self.B
  return (r.experts:moe_load({experts = self.E, groups = n}):view(n, self.E))
end

--- A context of these values.
local function context(values) return fields.object(Context, values) end

return context
