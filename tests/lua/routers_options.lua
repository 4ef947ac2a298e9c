-- Every choice of every option of every router, and both values of its switches, learns: two steps
-- of two micro-batches with an evaluation, dropless and with the router's own capacity, and then
-- the model writes.  No loop of any router allocates.  A model's cfg makes the same model.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local cases = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/identity_cases.lua")
local json = require "switchyard.core.json"
local ok, is, with = t.ok, t.is, t.with

local d = data.synthetic {domains = 4, tokens = 20000, seed = 1}
local BASE = {layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = cases.E,
              expert_dim = 8}

-- ---- options ----

-- What cannot be, and by which line.
local REFUSED = {
  ["relu: frozen = true"] = "nothing could bring it to K experts a token",
  ["noisy_topk: frozen = true"] = "its weights begin at 0, where all experts are equal",
}

local function learns(what, case, more)
  local good, why = pcall(function()
    local m = case.make(more)
    local r = train(m, d, {steps = 2, batch = 2, accumulate = 2, warmup = 0, eval_every = 1,
                           eval_batches = 1, save = false}):wait()
    local state, loss, val = r.state, r.loss, r.val_loss
    r:close()
    if state ~= "done" or loss ~= loss or val ~= val then
      error(("%s, loss %s, val_loss %s"):format(state, loss, val), 0)
    end
    if case.router.causal then m:generate({1, 2, 3}, {tokens = 2}) end
  end)
  ok(good, what, why)
end

local function tries(option, beside, case, more)
  local reason = REFUSED[option]
  if not reason then return learns(option .. beside, case, more) end
  t.refuses(function() case.make(more) end, option .. beside .. ": cannot be", reason)
end

-- Values of an option that are to be tried.
local function values(row)
  if row.choices then return row.choices end
  return row[2] == "boolean" and row[1] ~= "allow_leak" and {false, true} or {}
end

local function try_options(case)
  local own = (case.router.model or {}).capacity
  for _, capacity in ipairs {false, own or nil} do
    local beside = capacity and ", its capacity" or ""
    learns(case.name .. beside, case, {capacity = capacity})
    for _, row in ipairs(case.router.rows) do
      for _, v in ipairs(values(row)) do
        tries(("%s: %s = %s"):format(case.name, row[1], v), beside, case,
          {capacity = capacity, router = with(cases.options_of(case.router), {[row[1]] = v})})
      end
    end
  end
end

-- ---- no allocation in the loop ----

local function try_allocations(case)
  local r = train(case.make({capacity = (case.router.model or {}).capacity or false}), d,
    {steps = 120, batch = 2, warmup = 0, eval_every = 20, eval_batches = 2, save = false,
     lint = false, paused = true})
  local at = {}
  every(r, 40, function(self) at[self.step] = tensor.memory().allocations end)
  r:resume():wait()
  is(at[120] - at[80], 0, case.name .. ": 40 steps with 2 evaluations: allocations")
  r:close()
end

-- ---- its configuration ----

local function try_cfg(case)
  local m = case.make()
  local good, n = pcall(model.moe, m.cfg)
  if not ok(good, case.name .. ": a model of its cfg", n) then return end
  is(json.text(n.cfg), json.text(m.cfg), "... has the same")
  is(n:logits({1, 2, 3}):hash(), m:logits({1, 2, 3}):hash(), "... and computes the same")
end

for _, case in ipairs(cases.all(model.moe, BASE)) do
  if ok(case.K, case.name .. ": can be tried", case.why) then
    try_cfg(case)
    try_options(case)
    try_allocations(case)
  end
end

t.done()
