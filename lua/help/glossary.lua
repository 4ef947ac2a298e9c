-- Terms of the field as this program uses them, for ?term and the manual: {name, what it is, see,
-- other names ...}.  A name may have spaces; in questions they, - and _ are the same.

local glossary = {}

local rows = {
  {"mixture of experts", "A model whose feed-forward layers are several networks, the experts, of "
    .. "which each token uses a few. It has the parameters of all and the cost of those few.",
    "model.moe", "moe", "sparse"},
  {"expert", "One of the feed-forward networks of a layer (SwiGLU of width F). "
    .. "r.layers[l].experts[e] is one of a run.", "expert", "experts"},
  {"router", "What chooses the experts of each token: it scores all of them (logits = x times "
    .. "gate.weight) and keeps the K best. It computes in fp32.",
    "routers", "routing", "token choice"},
  {"gate", "The weight that a chosen expert's output has in the sum; a token's K gates sum to 1 "
    .. "unless normalize=false. gate.L in r:history is the mean probability that layer L's router "
    .. "gives each expert.", "run:history", "gates", "combine"},
  {"logits",
   "Scores before a softmax: of the next token (m:logits), or of the experts in a router.",
    "model:logits"},
  {"top-k", "Experts a token (K) in a mixture, which most routers choose by its K largest scores "
    .. "(softmax, mixtral, noisy_topk ...: routers() lists them); in m:generate the number of "
    .. "likeliest tokens that one is drawn from.", "routers", "topk"},
  {"top-2", "Two experts a token: router = \"gshard\" (the second now and then, a capacity), "
    .. "\"st_moe\" (gates as they are) or \"mixtral\" (softmax over the two); of any router with "
    .. "K of one's own top_k = 2.", "nn.routers.gshard", "top2", "top two", "top-2 gating",
    "top2 gating"},
  {"switch", "A mixture whose tokens go to one expert each (top_k = 1), the gate being its "
    .. "probability. Source: Fedus et al. 2021.", "nn.routers.switch",
    "switch transformer", "top-1", "top1"},
  {"distillation", "Training a model on what another says beside the text: the cross entropy to "
    .. "the probabilities that the teacher gives. Sources: Hinton et al. 2015; of mixtures into "
    .. "dense models Fedus et al. 2021.", "train", "teacher", "student", "distill"},
  {"dispatch", "Sorting the tokens by the expert that they go to, so that each expert computes its "
    .. "own in one product.", "tensor:moe_dispatch"},
  {"load", "The share of the tokens that an expert gets; r.layers[l].load gives it over a fair "
    .. "share: 1 is fair, 0 is unused.", "run.layers", "balance", "imbalance", "utilization"},
  {"load-balancing loss", "E times the sum over experts of (share of the tokens) times (mean "
    .. "probability): 1 when all get the same. It is added to the training loss with the weight "
    .. "aux (0.01), never to an evaluation's. Source: Fedus et al. 2021.",
    "nn.moe", "auxiliary loss", "aux loss", "balance loss", "aux"},
  {"auxiliary-loss-free balancing", "Loads kept even by a bias that chooses experts and does not "
    .. "weigh them; after each step it goes up where an expert had too few tokens (balance = "
    .. "{gamma = x}). Routers deepseek_v3, deepseek_v4 and sigmoid have it; quantile needs neither "
    .. "loss nor speed. Source: Wang et al. 2024.", "nn.balances.bias", "aux free",
    "auxiliary loss free", "aux loss free", "aux-loss-free balancing", "loss free",
    "loss-free balancing", "expert bias"},
  {"load balancing", "What keeps an expert from getting all tokens or none: a balance rule "
    .. "(balance = {aux = x}, {gamma = x} ...), a capacity, or a router that is even by itself "
    .. "(expert_choice, base, sinkhorn, quantile).", "nn.balances", "balancing", "balance rule",
    "load balance"},
  {"jitter", "Noise on the router's input in training, which sends tokens that lie between two "
    .. "experts now to the one and now to the other: an option of router \"switch\"; noisy_topk "
    .. "learns how much noise there is on the logits. Source: Fedus et al. 2021.",
    "nn.routers.switch", "router jitter", "input jitter", "jitter noise", "router jitter noise"},
  {"z-loss", "The mean square of the log of the sum of the exponentials of a router's logits: it "
    .. "keeps them small. Its weight is z (0.001). Source: Zoph et al. 2022.",
    "nn.moe", "router z-loss", "z"},
  {"capacity factor", "How many tokens an expert takes at most, as a multiple of its fair share "
    .. "N*K/E; what comes beyond is dropped. Without one (the default) nothing is dropped.",
    "nn.moe", "capacity", "expert capacity"},
  {"dropped token", "An assignment for which its expert had no slot left (see capacity factor): "
    .. "that expert adds nothing to the token. drop.L in r:history is their share.",
    "run:history", "drop", "dropped", "dropless"},
  {"dead expert", "An expert that gets next to no tokens and so learns nothing; an alarm tells of "
    .. "it, x:reset() draws it anew.", "expert:reset", "collapse", "dead"},
  {"shared expert", "An expert that every token uses beside those that the router chooses.",
   "model.moe"},
  {"active parameters",
   "Parameters that one token uses: all but those of the experts that were not chosen.",
    "model:count", "active"},
  {"mfu", "Model FLOPs utilization: the FLOPs that the model needs (6 for each multiply-add weight "
    .. "that a token uses, and attention) over what the machine could do at its measured peak. "
    .. "Source: Chowdhery et al. 2022.", "run", "utilisation", "flops", "flop"},
  {"nats", "Units of a loss by the natural logarithm: -ln of the probability of the right token. "
    .. "One nat is 1.443 bits.", "model:loss", "nat"},
  {"perplexity", "exp of the loss in nats a token: among so many equally likely tokens the model "
    .. "hesitates. Here losses are shown, and math.exp(r.val_loss) is the perplexity.",
    "model:loss", "ppl"},
  {"loss", "What training makes smaller: the mean cross entropy in nats a token. r.loss is that of "
    .. "the newest step on its own batch, r.val_loss of the newest evaluation, m:loss(text) of any "
    .. "text; what a router adds (aux, z) is in none of them. ln of the vocabulary's size is that "
    .. "of a model that knows nothing.", "run"},
  {"cross entropy", "The mean over tokens of -ln of the probability that the model gave to the "
    .. "right one, in nats.", "tensor:cross_entropy", "nll"},
  {"validation loss", "The loss on text that is not trained on (val= of a data set); where it "
    .. "rises while loss falls, the text is learned by heart.",
    "run:eval", "val loss", "overfitting", "eval"},
  {"token", "A piece of text with a number (its id, from 0) that a tokenizer gives; what a model "
    .. "reads and writes.", "tokenizer", "tokens", "ids"},
  {"bpe", "Byte-pair encoding: the tokens that arise when the commonest pair is merged again "
  .. "and again.",
    "tokenizer.train_bpe", "byte pair encoding"},
  {"vocabulary", "The tokens that there are (V).", "tokenizer", "vocab size"},
  {"context", "Tokens of a sequence (T), the most that a model sees at once.",
    "model.moe", "window", "sequence length"},
  {"batch", "Sequences of a micro-batch (B); a step has accumulate of them.",
    "train", "micro-batch", "micro batch"},
  {"step", "One update of the parameters, from batch * accumulate sequences.", "train",
   "iteration", "update"},
  {"epoch", "One pass over the text. Windows are drawn at random unless sampling = \"epoch\", so "
    .. "steps are what counts; r.tokens over the data set's tokens are the passes so far.",
    "train", "pass", "epochs"},
  {"learning rate", "The size of an update: it rises for warmup steps to lr and falls to min_lr as "
    .. "schedule says.", "train", "warm-up", "schedule"},
  {"gradient norm",
   "The length of all gradients taken as one vector; above clip they are scaled down to it.",
    "train", "grad norm", "clipping"},
  {"optimizer", "What makes an update of a gradient: optimizer = \"adamw\", \"muon\", \"sgd\" or "
    .. "\"adafactor\"; fixed for the run. r prints which, and the memory that it takes.",
    "train", "optimizers"},
  {"adamw", "The default optimizer: steps by the mean gradient over the root of its mean square "
    .. "(the moments), with decoupled weight decay. Source: Loshchilov and Hutter 2019.",
    "train", "adam"},
  {"muon", "An optimizer of matrices: the momentum of each, and of each expert's, is made "
    .. "orthogonal by five rounds of a polynomial (Newton-Schulz) in fp32; embeddings, head, "
    .. "routers and vectors are adamw's. It keeps one number a parameter of these matrices and "
    .. "learns by adamw's lr. Sources: Jordan et al. 2024; Liu et al. 2025.", "train",
    "newton-schulz", "orthogonalization"},
  {"sgd", "An optimizer: steps by the gradient and its momentum (nesterov = false: by the momentum "
    .. "alone). Its lr is some 100 times adamw's. Source: Sutskever et al. 2013.",
    "train", "momentum", "nesterov"},
  {"objective", "What of a text a model is shown, and what it is to predict: objective = \"next\" "
    .. "(each token from those before it), \"span\" (spans that were left out, as T5), \"prefix\" "
    .. "(what follows a first part that is seen whole), \"fim\" (the middle behind what stands "
    .. "around it); with options {\"span\", density = 0.15, mean = 3}, {\"fim\", rate = 0.5, spm = "
    .. "0.5}; a mixture by shares of the rows {next = 0.5, fim = {0.5, rate = 0.9}}, whose losses "
    .. "are the series loss.fim and val_loss.fim, too. Span and fim need special tokens: "
    .. "tokenizer.bytes{sentinels = 100, fim = true}. A row is a function of the seed and the "
    .. "number of its window.", "train", "objectives", "span", "span corruption", "prefix lm",
    "fim",
    "fill in the middle", "denoising"},
  {"adafactor", "The optimizer of T5, GShard and Switch: mean squares of the gradient by rows and "
    .. "columns in place of each, no momentum, an update whose root mean square is at most 1, and "
    .. "lr relative to the size of the weights. Source: Shazeer and Stern 2018.", "train"},
  {"bf16", "16-bit floats with f32's range and 8 bits of precision. With precision = \"bf16\" the "
    .. "operands of matrix products are rounded to it, sums stay f32.",
    "train", "mixed precision", "precision"},
  {"checkpoint", "Parameters, optimizer state, states, step and journal in a folder of the run: "
    .. "what a run is resumed from, to the bit.", "run:checkpoint", "checkpoints"},
  {"journal", "What was changed or noted while a run went on, and after which step; a replay makes "
    .. "the same changes at the same steps.", "run:journal"},
  {"run", "A training with its directory runs/NAME: configuration, code, series, journal, "
  .. "checkpoints.", "run"},
  {"series", "Numbers by step that a run keeps: loss, lr, load.2 ...", "run:history", "metrics"},
  {"fork", "A new run that leaves another after a step.", "run:fork"},
  {"rewind", "Going back to exactly the state after an earlier step.", "run:rewind"},
  {"replay", "Doing a run again from its beginning to see that every bit is the same.",
    "replay", "reproducibility", "determinism", "exact"},
  {"hook", "A function that is called between two steps of a run.", "every", "callback"},
  {"alarm", "A line that tells of a run that goes wrong: a dead expert, a loss that rises.",
   "run:alarms"},
  {"skipped step", "A step whose loss or gradient is not finite, or whose loss is far over what is "
    .. "usual: nothing is learned from it, and r:why tells of it.", "run:why", "spike", "skip"},
  {"entropy",
   "Of the loads: -sum of share times ln share, in nats; ln E when all experts get the same.",
    "run:history"},
  {"seed", "The number from which all that is drawn follows: the same seed, the same run.", "train",
   "random seed"},
  {"recompute", "Keeping only what passes between layers and computing the rest again in the "
    .. "backward pass: less memory, more time.",
    "train", "gradient checkpointing", "activation checkpointing"},
  {"attention", "Each token's mean over the tokens before it, weighted by how well its query fits "
    .. "their keys; grouped-query where several query heads share a key-value head.",
    "nn.attention", "gqa", "heads"},
  {"kv cache", "Keys and values of the tokens so far, kept while a text is written, so that each "
    .. "new token costs one row.", "model:generate", "cache"},
  {"rope",
   "Rotary position embedding: queries and keys turned by their position. Source: Su et al. 2021.",
    "nn.rope"},
  {"rmsnorm",
   "x over the root of its mean square, times a weight. Source: Zhang and Sennrich 2019.",
    "nn.rmsnorm", "normalization"},
  {"swiglu", "silu(gate) * up: the activation of the feed-forward layers. Source: Shazeer 2020.",
   "nn.swiglu"},
  {"temperature", "What the logits are divided by before a token is drawn: 0 takes the likeliest, "
    .. "1 the model's own probabilities.", "model:generate"},
  {"domain",
   "Where a document of a synthetic data set comes from: each has a Markov chain of its own.",
    "data.synthetic", "domains"},
}

-- "Load-Balancing  loss" and "load_balancing_loss" are one.
local function plain(name)
  return (name:lower():gsub("[%s_%-]+", " "):gsub("^ ", ""):gsub(" $", ""))
end

local by_name = {}
for _, row in ipairs(rows) do
  local term = {name = row[1], text = row[2], see = row[3]}
  glossary[#glossary + 1] = term
  by_name[plain(row[1])] = term
end
for i, row in ipairs(rows) do
  for k = 4, #row do by_name[plain(row[k])] = by_name[plain(row[k])] or glossary[i] end
end

--- The term of this name, {name=, text=, see=}, or nil; "experts" is expert.
function glossary.find(name)
  local p = plain(name)
  return by_name[p] or by_name[p:gsub("s$", "")]
end

return glossary
