-- A model of one's own.  model.define takes a function of the options that returns a function of
-- the token ids (B,T); what that function applies is recorded once and then runs without Lua.
-- Here: attention and feed-forward side by side on the same normalized input (as GPT-J and PaLM
-- have them), and experts in every second layer.
--
--     switchyard examples/own_model.lua [TEXT] [STEPS]

local path = arg[1] or "/usr/share/common-licenses"
local steps = assert(math.tointeger(tonumber(arg[2] or 200)), "STEPS must be a whole number")

model.define("sidebyside", function(cfg)
  return function(ids)
    local x = nn.embedding(ids, nn.param("embedding", {cfg.vocab, cfg.dim}))
    for l = 1, cfg.layers do
      x = nn.layer(l, function()
        local h = nn.rmsnorm(x, nn.param("norm", {cfg.dim}, "ones"))
        local attention = nn.scope("attention", nn.attention, h, {heads = cfg.heads})
        local feed_forward = l % 2 == 0
          and nn.scope("experts", nn.moe, h, {experts = cfg.experts, top_k = 1,
            expert_dim = 2 * cfg.dim})
          or nn.scope("dense", nn.ffn, h, 2 * cfg.dim)
        return x + attention + feed_forward
      end)
    end
    return nn.head(nn.rmsnorm(x, nn.param("norm", {cfg.dim}, "ones")),
      nn.param("head", {cfg.vocab, cfg.dim}))
  end
end, {
  {"layers", "integer", 4, 1, 100}, -- name, type, default, least, most
  {"dim", "integer", 96, 2, 10000},
  {"heads", "integer", 4, 1, 100},
  {"experts", "integer", 4, 1, 100},
  {"context", "integer", 64, 1, 10000},
  {"vocab", "vocab", 256},
  {"seed", "integer", 1, 0, 1 << 53},
})

local tok = tokenizer.bytes()
local d = assert(data.text(path, {tokenizer = tok}))
local m = model.sidebyside{vocab = tok}
print(m)
local r = train(m, d, {steps = steps, batch = 16, lr = 4e-3, eval_every = 0})
r:wait()
print(("validation loss %.3f after %d steps"):format(r:eval(5), r.step))
print(m:generate("The ", {tokens = 200, temperature = 0.7}))
