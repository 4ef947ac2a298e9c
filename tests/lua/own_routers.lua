-- What the tests of routers have in common: small models, routers of one's own in every form that
-- route(ctx) may return, and a layer of experts in plain operations to compare with.
--     local own = dofile(os.getenv "srcdir" .. "/tests/lua/own_routers.lua")

local engine = require "switchyard.engine"
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local own = {t = t, data = data.synthetic {domains = 4, tokens = 20000, seed = 1}}
local d = own.data
local V, C, E, F = d.vocab, 16, 4, 8
own.V, own.C, own.E = V, C, E

local with, furthest = t.with, t.furthest

own.DENSE = {layers = 2, dim = C, heads = 2, context = 16, vocab = V}
local MOE = with(own.DENSE, {experts = E, top_k = 2, expert_dim = F})
function own.moe(more) return model.moe(with(MOE, more)) end

own.TRAIN = {steps = 4, batch = 2, warmup = 1, eval_every = 0, save = false}

-- Parameters stand still and rows come in order: loads of a step are the same however it is cut.
own.STILL = {steps = 4, context = 16, lr = 1e-30, warmup = 0, weight_decay = 0,
             sampling = "epoch", eval_every = 0, save = false}

--- Hash after four steps, and of the losses on the way.
function own.bits(m, more)
  local r = train(m, d, with(own.TRAIN, more)):wait()
  local hash, losses = r:hash(), r:history("loss"):hash()
  r:close()
  return hash .. " " .. losses
end

--- f raises this line, whose beginning may be the place in a test.
function own.says(f, line, what)
  local good, why = pcall(f)
  local said = good and "no error" or tostring(why):gsub("^[^\n]-tests/lua/[%w_]+.lua:%d+: ", "")
  t.is(said, line, what or line)
end

local function none(x) return tensor.zeros(x.shape, {dtype = "i32"}) end

--- g where it is taken, else 0
function own.only(taken, g) return taken:where(g, tensor.zeros(g.shape)) end
local only = own.only

-- ---- routers ----

nn.router("soft", { -- as the program's softmax
  rule = "softmax, the K largest",
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local gates, experts = p:topk(ctx.K, -1)
    return {gates = nn.normalize_gates(gates), experts = experts, scores = p}
  end,
})

nn.router("sig", { -- as the program's sigmoid
  gives = "logits scores bias",
  rows = {{"scale", "number", 1, 0, 10, help = "factor on the gates"}},
  route = function(ctx)
    local s, bias = ctx:logits():sigmoid(), ctx:bias()
    local _, experts = (s + bias):topk(ctx.K, -1)
    local gates = nn.normalize_gates(s:gather(-1, experts), 1e-20) * ctx.options.scale
    return {gates = gates, experts = experts, scores = s / (s:sum(-1, true) + 1e-20)}
  end,
})

nn.router("threshold", {
  doc = "Any number of experts a token: those whose score is over a cutoff.",
  rows = {{"cutoff", "number", 0.5, 0, 1, help = "least score"}},
  route = function(ctx)
    local s = ctx:logits():sigmoid()
    return {chosen = s:gt(ctx:setting "cutoff"), gates = s, scores = s / s:sum(-1, true)}
  end,
})

nn.router("own_choice", {
  doc = "Each expert takes its top tokens.",
  causal = false, leak = "an expert's tokens are chosen among all of a sequence",
  capacity = "each expert takes its own number of tokens",
  rows = {{"factor", "number", 1, 0.01, 100, help = "tokens of an expert as a factor of N*K/E"}},
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local n = math.min(ctx.N, math.ceil(ctx.options.factor * ctx.N * ctx.K / ctx.E))
    local _, tokens = p:permute({2, 1}):contiguous():topk(n, -1)
    local taken = tokens:scatter_add(tensor.ones(ctx.E, n), {dim = 2, n = ctx.N})
    return {chosen = taken:permute({2, 1}):contiguous():gt(0), gates = p, scores = p,
            slots = n * ctx.E}
  end,
})

nn.router("second", {
  doc = "The second expert only where its probability is at least a share of the first's.",
  rows = {{"share", "number", 0.7, 0, 1, help = "of the first's"}},
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local gates, experts = p:topk(2, -1)
    local kept = gates:ge(gates:narrow(2, 1, 1) * ctx.options.share)
    return {experts = kept:where(experts, none(experts)), gates = gates, scores = p, fewer = true}
  end,
})

nn.router("at_input", {
  doc = "One expert; the sigmoid of its logit multiplies what it is given.",
  source = "Llama 4, 2025",
  route = function(ctx)
    local s = ctx:logits():sigmoid()
    local gates, experts = s:topk(1, -1)
    return {experts = experts, gates = gates, scores = s / s:sum(-1, true), gate_on = "input"}
  end,
})

nn.router("nothing", {
  doc = "Three choices more: the token itself, a learned vector, and nothing.",
  gives = "logits",
  route = function(ctx)
    local p = ctx:logits {extra = 3}:softmax(-1)
    local gates, choices = p:topk(2, -1)
    local real = choices:le(ctx.E)
    local function share(e) return only(choices:eq(ctx.E + e), gates):sum(-1, true) end
    local v = nn.param("constant", {1, ctx.x.shape[2]})
    return {experts = real:where(choices, none(choices)), gates = gates, fewer = true,
            plus = share(1) * ctx.x + share(2) * v}
  end,
})

nn.router("by_id", {
  doc = "By the token id: nothing is learned.", gives = "",
  rows = {{"prime", "integer", 7, 1, 1e9, help = "factor on the id"}},
  route = function(ctx)
    local experts = (ctx:ids() * ctx.options.prime % ctx.E + 1):view(ctx.N, 1)
    return {experts = experts, gates = tensor.ones(ctx.N, 1)}
  end,
})

nn.router("by_document", {
  doc = "By the document: nothing is learned.", gives = "",
  route = function(ctx)
    local experts = (ctx:documents() % ctx.E + 1):view(ctx.N, 1)
    return {experts = experts, gates = tensor.ones(ctx.N, 1)}
  end,
})

nn.router("two_towers", {
  doc = "Logits of the normalized input by one matrix, scaled by softplus of what another gives.",
  route = function(ctx)
    local width = ctx.x.shape[2]
    local spread = nn.param("spread.weight", {ctx.E, width}, nil, {role = "router"})
    local first = ctx:logits {x = nn.rmsnorm(ctx.x, nn.param("norm", {width}, "ones"))}
    local p = (first * ctx:logits {w = spread}:softplus()):softmax(-1)
    local gates, experts = p:topk(ctx.K, -1)
    return {experts = experts, gates = gates, scores = p}
  end,
})

nn.router("topk_as_chosen", {
  rows = {{"bound", "boolean", false, help = "say how many are chosen in all"}},
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local chosen = p:ge(p:topk(ctx.K, -1):min(-1, true))
    return {chosen = chosen, gates = p, scores = p,
            slots = ctx.options.bound and ctx.N * ctx.K or nil}
  end,
})

-- ---- the same in plain operations ----

-- bare: one mixture between an embedding with attention and a head.  plain: every expert computes
-- every token, and cfg.dense(p, batch, x) says with which gate (N,E), 0 where it is not chosen, and
-- what is added.  Both have parameters of the same names.
local function around(layer)
  return function(ids, batch)
    local h = nn.embedding(ids, nn.param("embed", {V, C}, 1.0))
    h = h + nn.scope("attend", nn.attention, h, {heads = 2}) -- equal tokens have other scores
    local y = nn.layer(1, function() return nn.scope("mlp", layer, h, batch) end)
    return nn.linear((h + y):view(-1, C), nn.param("head", {V, C}, 0.2))
  end
end

model.define("bare", function(cfg)
  local o = with({experts = E, top_k = cfg.K or 2, expert_dim = F, router = cfg.router,
                  capacity = cfg.capacity}, cfg.coefficients)
  return around(function(h) return nn.moe(h, o) end)
end)

local function weight(name, e, rows, columns)
  local w = nn.param("experts." .. name .. "_proj.weight", {E, rows, columns})
  return w:narrow(1, e, 1):view(rows, columns)
end

local function expert(x, e)
  local h = x:linear(weight("gate", e, F, C)):silu() * x:linear(weight("up", e, F, C))
  return h:linear(weight("down", e, C, F))
end

model.define("plain", function(cfg)
  local function scores(x)
    if cfg.scored == false then return nil end
    return x:linear(nn.param("gate.weight", {E + (cfg.extra or 0), C}))
  end
  return around(function(h, batch)
    local x = h:view(-1, C)
    local G, y = cfg.dense(scores(x), batch, x)
    for e = 1, E do
      local g = G:narrow(2, e, 1)
      local out = cfg.on_input and expert(x * g, e) * g:gt(0):cast "f32" or expert(x, e) * g
      y = y and y + out or out
    end
    return y:view(table.unpack(h.shape))
  end)
end)

-- Both with the same values, those of the mixture large enough that their gradients are seen.
local function pair(router, plain, more)
  local a = model.bare(with({router = router, vocab = V, context = 16}, more))
  local b = model.plain(with({vocab = V, context = 16}, plain))
  for i, info in ipairs(a._info) do
    local times = info.name:find "experts" and 8 or info.name:find "%.gate%." and 20 or 1
    engine.copy(a.params[i], a.params[i]:detach() * times)
    engine.copy(b.params[info.name], a.params[i])
  end
  return a, b
end

local SGD = {steps = 3, batch = 2, optimizer = "sgd", momentum = 0, nesterov = false,
             weight_decay = 0, lr = 0.5, warmup = 0, schedule = "constant", clip = 0,
             eval_every = 0, save = false}

local function logits_of(a, b)
  local ids = {}
  for i = 1, 16 do ids[i] = (i * 7) % V end
  return furthest(a:logits(ids), b:logits(ids))
end

--- What a router computes is what plain says: logits, and what three steps of plain gradient
-- descent make of the parameters, all of which move.  more: K, coefficients.
function own.same(what, router, plain, more)
  local a, b = pair(router, plain, more)
  local off, before = logits_of(a, b), {}
  t.ok(off < 1e-5, what .. ": logits", off)
  for i, p in ipairs(a.params) do before[i] = p:detach():clone() end
  local ra, rb = train(a, d, SGD):wait(), train(b, d, SGD):wait()
  local worst, unmoved = 0, {}
  for i, info in ipairs(a._info) do
    local moved = furthest(a.params[i], before[i])
    local apart = furthest(a.params[i], b.params[info.name])
    worst = math.max(worst, apart / math.max(moved, 1e-6))
    if moved < 1e-6 then unmoved[#unmoved + 1] = info.name end
  end
  t.ok(worst < 1e-3, what .. ": gradients", worst)
  t.is(table.concat(unmoved, " "), "", what .. ": all learn")
  ra:close()
  rb:close()
end

return own
