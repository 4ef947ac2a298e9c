-- What a model observes is found by its kind and place, whatever it is called: r.layers, r:why.
-- TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

-- Experts of its own hand in layer 2, each of which gets all tokens, a third of them in name.
model.define("handmade", function(cfg)
  local function layer(x)
    local B, T, C = table.unpack(x.shape)
    local w = nn.param("experts.w", {3, C, C}, nil, {experts = 3})
    nn.observe("traffic", w:mean(3):mean(2) * 0 + tensor{0.5, 1, 1.5}, {kind = "load"})
    nn.observe("spread", w:mean() * 0 + 1.25, {kind = "entropy"})
    return x + x:view(1, B * T, C):expand(3, B * T, C):matmul(w):sum(1):view(B, T, C)
  end
  return function(ids)
    local x = nn.embedding(ids, nn.param("table", {cfg.vocab, cfg.dim}))
    x = nn.layer(2, layer, x)
    return nn.head(x, nn.param("head", {cfg.vocab, cfg.dim}))
  end
end)

local r = train(model.handmade{vocab = d.vocab, dim = 16, layers = 2, context = 16}, d,
  {steps = 12, batch = 2, eval_every = 0, name = "observe"}):wait()
is(r:history "traffic.2".shape[2], 4, "the series has the model's name")
local load = r.layers[2].load
is(load and table.concat(load:table(), " ") or "none", "0.5 1.0 1.5", "and r.layers finds it")
is(r.layers[1].load, nil, "where it is")
local w = r:why(10)
is(#w.experts, 3, "r:why: the norms of the experts")
local loads = {}
for _, x in ipairs(w.experts) do loads[x.expert] = x.load end
is(("%s %s %s"):format(loads[1], loads[2], loads[3]), "0.5 1.0 1.5", "... with what each got")
ok(tostring(w):find "\n  experts +layer 2 expert %d %d", "the card", tostring(w))
t.raises(function() r._h:series_of("eclipse", 1) end, "kind 'eclipse'", "no such kind")
r:close()

-- A router that shows a load of its own does not hide that of the mixture.
nn.router("showy", {
  rows = nn.routers.softmax.rows,
  route = function(ctx)
    nn.observe("mine", tensor.full({ctx.E}, 5), {kind = "load"})
    return nn.routers.softmax.route(ctx)
  end,
})
r = train(model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
                    expert_dim = 8, router = "showy"}, d,
  {steps = 3, batch = 2, eval_every = 0, save = false}):wait()
t.is(r:history "mine.1"[{-1, 2}]:item(), 5, "a router's own load is a series")
t.ok(r.layers[1].load:max():item() < 4.01, "r.layers has the mixture's")
r:close()

t.done()
