-- model.moe: a decoder of pre-norm blocks: grouped-query attention with RoPE, then a mixture of
-- experts.  model.dense is the same with one dense feed-forward layer a block.  Copy this
-- page to write your own: model.define(name, function(cfg) ... end) makes model.name{...}.

local forms = require "switchyard.model.feed_forward"
local live = require "switchyard.model.live"
local nn = require "switchyard.model.nn"
local model = require "switchyard.model.model"

local function decoder(cfg, feed_forward)
  local attention = {heads = cfg.heads, kv_heads = cfg.kv_heads, head_dim = cfg.head_dim,
                     theta = cfg.theta, qk_norm = cfg.qk_norm}
  return function(ids, batch)
    -- training may choose them
    attention.mask, attention.documents = cfg.prefix and "prefix" or "causal", cfg.documents
    if nn._pads() then nn.padding(batch.documents) end
    local C = cfg.dim
    local embed = nn.param("model.embed_tokens.weight", {cfg.vocab, C})
    local x = nn.embedding(ids, embed)
    for l = 1, cfg.layers do
      x = nn.layer(l, function()
        local h = nn.rmsnorm(x, nn.param("input_layernorm.weight", {C}, "ones"))
        local y = x + nn.dropout(nn.scope("self_attn", nn.attention, h, attention), cfg.dropout)
        h = nn.rmsnorm(y, nn.param("post_attention_layernorm.weight", {C}, "ones"))
        return y + nn.dropout(nn.scope("mlp", feed_forward, h, l), cfg.dropout)
      end)
    end
    x = nn.rmsnorm(x, nn.param("model.norm.weight", {C}, "ones"))
    return nn.head(x, cfg.tie and embed or nn.param("lm_head.weight", {cfg.vocab, C}))
  end
end

local common = {
  {"layers", "integer", 6, 1, 1024, help = "blocks (L)"},
  {"dim", "integer", 384, 1, 1 << 20, help = "model width (C)"},
  {"heads", "integer", 6, 1, 1 << 16, help = "query heads (H)"},
  {"kv_heads", "integer", nil, 1, 1 << 16, help = "key-value heads; default: heads"},
  {"head_dim", "integer", nil, 1, 1 << 16, help = "width of a head (D); default: dim / heads"},
  {"context", "integer", 256, 1, 1 << 24, help = "tokens of a sequence (T)"},
  {"vocab", "vocab", 256, help = "a tokenizer, or the number of ids (V); then the tokenizer is "
    .. "that of the data that trains it"},
  {"theta", "number", 10000, 1, 1e12, help = "base of RoPE"},
  {"documents", "boolean", nil, help = "attention stays within a document of the data; default: "
    .. "what training chooses, true with data of pairs, of which a row holds several"},
  {"prefix", "boolean", nil, help = "attention lets all tokens see the prefix of a row, and in "
    .. "generation the prompt, whole; default: what training chooses, true with objective "
    .. "\"prefix\" or \"span\""},
  {"qk_norm", "boolean", false, help = "RMSNorm on the heads of q and k"},
  {"dropout", "number", 0, 0, 0.99, help = "share of each block's output zeroed in training"},
  {"tie", "boolean", false, help = "the head shares the embedding's weights"},
  {"seed", "integer", 1, 0, 1 << 53, help = "of the initial parameters"},
}

local function with(...)
  local all = table.move(common, 1, #common, 1, {})
  for _, rows in ipairs {...} do table.move(rows, 1, #rows, #all + 1, all) end
  return all
end

local function form_of(cfg) return {activation = cfg.activation, gated = cfg.gated} end

model.define("dense", function(cfg)
  return decoder(cfg, function(h) return nn.ffn(h, cfg.ffn_dim, form_of(cfg)) end)
end, with({
  {"ffn_dim", "integer", 1024, 1, 1 << 22, help = "width of the feed-forward layer (F)"},
}, forms.rows))

model.define("moe", function(cfg)
  local experts = {
    experts = cfg.experts, top_k = cfg.top_k, expert_dim = cfg.expert_dim, router = cfg.router,
    capacity = cfg.capacity, shared_experts = cfg.shared_experts,
  }
  for _, row in ipairs(forms.expert_rows) do experts[row[1]] = cfg[row[1]] end
  for _, name in ipairs {"normalize", "scale"} do experts[name] = cfg[name] end
  for name, value in pairs(cfg.balance) do experts[name] = value end
  return decoder(cfg, function(h, l)
    -- they may change while a run is live; nil would be the router's own
    experts.top_k, experts.capacity = cfg.top_k, cfg.capacity or false
    if l <= cfg.dense_layers then
      return nn.ffn(h, cfg.ffn_dim or cfg.expert_dim * cfg.top_k, form_of(cfg))
    end
    return nn.moe(h, experts)
  end)
end, with({
  {"experts", "integer", 8, 1, 4096, help = "experts of a layer (E)"},
  live.row("top_k", 2),
  {"expert_dim", "integer", 1024, 1, 1 << 22, help = "width of an expert (F)"},
  {"shared_experts", "integer", 0, 0, 64, help = "experts that every token uses"},
  {"dense_layers", "integer", 0, 0, 1024, help = "leading layers without experts"},
  {"ffn_dim", "integer", nil, 1, 1 << 22, help = "width of those; default: expert_dim * top_k"},
  {"router", "any", "softmax", help = "a name that routers() lists, or {name, option = value}"},
  {"balance", "table", {}, help = "coefficients of the balance rules that go with the router, "
    .. "which ?softmax and its like list: aux=, z=, gamma=; numbers, or tables that go by the "
    .. "steps (?nn.balances)"},
  live.row "capacity",
  {"normalize", "boolean", nil, help = "of routers that have it; default: the router's (true): the "
    .. "K gates of a token sum to 1; a single one (top_k = 1) is its score"},
  {"scale", "number", nil, 0, 1e3, help = "of routers that have it; default: the router's "
    .. "(sigmoid: 1): factor on the gates"},
}, forms.expert_rows))
