/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DCRNN's arithmetic (Li et al. 2017, arXiv:1707.01926): an encoder and a decoder of stacked
 * gated cells whose linear maps are diffusion convolutions. A net is shape and places of parameters,
 * a run is the working memory of one graph, a back the memory of the reverse pass.
 *
 * Memory: the diffused state of layer l after s steps stands in slot s of g[l], node after node, the
 * M diffused copies of a node's state side by side; copy 0 is the state itself. So a cell's inputs
 * are always two pieces of memory, the diffusion of a state is computed once and read by the same
 * layer's next step and by the layer above, and a run that keeps all slots is a tape.
 */
#ifndef STG_NET_H
#define STG_NET_H

#include "base_priv.h"
#include "crew.h"
#include "kernel.h"
#include "supports.h"

#define stg__net_init STG_REAL(stg__net_init)
#define stg__net_pack STG_REAL(stg__net_pack)
#define stg__net_pack_back STG_REAL(stg__net_pack_back)
#define stg__net_start STG_REAL(stg__net_start)
#define stg__run_create STG_REAL(stg__run_create)
#define stg__run_clear STG_REAL(stg__run_clear)
#define stg__run_forward STG_REAL(stg__run_forward)
#define stg__run_cell STG_REAL(stg__run_cell)
#define stg__run_diffuse STG_REAL(stg__run_diffuse)
#define stg__run_product STG_REAL(stg__run_product)
#define stg__run_state STG_REAL(stg__run_state)
#define stg__run_reset STG_REAL(stg__run_reset)
#define stg__run_step STG_REAL(stg__run_step)
#define stg__run_decode STG_REAL(stg__run_decode)
#define stg__run_carry STG_REAL(stg__run_carry)
#define stg__run_read STG_REAL(stg__run_read)
#define stg__run_write STG_REAL(stg__run_write)
#define stg__run_cells STG_REAL(stg__run_cells)
#define stg__run_lstm STG_REAL(stg__run_lstm)
#define stg__back_lstm STG_REAL(stg__back_lstm)
#define stg__run_direct STG_REAL(stg__run_direct)
#define stg__back_direct STG_REAL(stg__back_direct)
#define stg__run_inputs STG_REAL(stg__run_inputs)
#define stg__back_create STG_REAL(stg__back_create)
#define stg__back_clear STG_REAL(stg__back_clear)
#define stg__back_run STG_REAL(stg__back_run)
#define stg__back_reset STG_REAL(stg__back_reset)
#define stg__back_cell STG_REAL(stg__back_cell)
#define stg__back_weights STG_REAL(stg__back_weights)
#define stg__back_fold STG_REAL(stg__back_fold)

#define STG__MAX_LAYERS 8u
#define STG__MAX_UNITS 1024u
#define STG__MAX_WINDOWS 1024u /* of history or horizon */
#define STG__MAX_HOPS 8u
#define STG__MAX_COPIES (2 * STG__MAX_HOPS + 1)

enum { STG__ENCODER, STG__DECODER };

/*
 * The copies of a walk S: T1 = S T0, then one of
 *   restart  Tk = 2 S Tk-1 - Tk-2, T0 = X: Chebyshev's polynomials of each walk;
 *   carry    the same, but the second walk's T0 is the last but one of the first walk's chain, as
 *            DCRNN's published codes have it, which do not go back to X;
 *   pygt     Tk = 2 S Tk-1 - X, T0 = X: PyTorch Geometric Temporal, whose X never moves on;
 *   power    Tk = S Tk-1, T0 = X: the powers of Li et al. 2017, equation 2.
 * With one walk, carry is restart; with one hop all four are the same.
 */
enum { STG__RESTART, STG__CARRY, STG__PYGT, STG__POWER };

/*
 * What makes the outputs: a decoder that steps on its own outputs, or, straight from the encoder's last
 * state, one linear map to all steps ahead at once; with relu only what of the state is above zero.
 */
enum { STG__SEQ2SEQ, STG__DIRECT, STG__DIRECT_RELU };

/*
 * Cells, with * the diffusion convolution of input and state:
 *   DCGRU   r, u = sigmoid(W * [x, h] + b), c = tanh(W * [x, r h] + b), h' = u h + (1 - u) c:
 *           Li et al. 2017, section 2.3;
 *   DCLSTM  i, f, o = sigmoid(W * [x, h] + b), g = tanh(W * [x, h] + b), s' = f s + i g, h' = o tanh(s'):
 *           Seo et al. 2018 (arXiv:1612.07659), equation 6, without its peepholes, their convolution
 *           being this one. The forget gate's bias begins at 1 (Gers et al. 2000, Jozefowicz et al. 2015).
 */
enum { STG__DCGRU, STG__DCLSTM };

typedef struct stg__shape {
    uint32_t inputs;  /* of the encoder, features of a node */
    uint32_t targets; /* outputs of a node; the decoder reads its own */
    uint32_t extras;  /* further inputs of the decoder, the same for all nodes, known in advance */
    uint32_t layers;
    uint32_t units;
    uint32_t hops;  /* K; 0: no graph */
    uint32_t walks; /* 1 or 2 */
    uint32_t recursion;
    uint32_t decoder;
    uint32_t cell;
    uint32_t history; /* steps of the encoder */
    uint32_t horizon;
} stg__shape;

/* Places of a cell's parameters in the flat vector, and of their packed forms. Rows of a weight:
 * copy after copy of the input's features, then copy after copy of the state's. */
typedef struct stg__cell {
    uint32_t inputs;
    size_t gate_w; /* [M (inputs + units)][gates units]: reset, update; of an LSTM input, forget, output */
    size_t gate_b; /* [gates units] */
    size_t cand_w; /* [M (inputs + units)][units] */
    size_t cand_b; /* [units] */
    size_t pack_gate_w;
    size_t pack_gate_b;
    size_t pack_cand_w;
    size_t pack_cand_b;
    size_t back_x;    /* [(gates + 1) units][M inputs]: gates and candidate to the input */
    size_t back_gate; /* [gates units][M units] */
    size_t back_cand; /* [units][M units] */
} stg__cell;

/* One diffusion step: copy = S from, or 2 S from - minus. */
typedef struct stg__step {
    uint32_t walk;
    uint32_t from;
    uint32_t minus; /* UINT32_MAX: nothing, and the factor is 1 */
} stg__step;

typedef struct stg__net {
    stg__shape shape;
    uint32_t copies; /* M = walks * hops + 1 */
    uint32_t gates;   /* of a cell, the candidate not counted: 2 or 3 */
    uint32_t parts;   /* 2; without a decoder 1 */
    uint32_t outputs; /* columns of the projection: targets; without a decoder [horizon][targets] */
    stg__step step[STG__MAX_COPIES]; /* for copy 1 .. M - 1 */
    stg__cell cell[2][STG__MAX_LAYERS];
    size_t proj_w; /* [units][outputs] */
    size_t proj_b;
    size_t pack_proj_w;
    size_t pack_proj_b;
    size_t back_proj; /* [outputs][units] */
    size_t params;
    size_t pack_size;
    size_t back_size;
} stg__net;

/* Cell number i of parts * layers: each layer's encoder and decoder. */
static inline const stg__cell *stg__net_cell(const stg__net *net, uint32_t i)
{
    return &net->cell[i % net->parts][i / net->parts];
}

/* Steps of both parts. */
static inline size_t stg__net_steps(const stg__net *net)
{
    return (size_t)net->shape.history + (net->parts == 2 ? net->shape.horizon : 0);
}

/* Numbers of a node's state in a layer: h, and of an LSTM s. */
static inline size_t stg__net_states(const stg__net *net)
{
    return (net->shape.cell == STG__DCLSTM ? 2 : 1) * (size_t)net->shape.units;
}

/* Fills net; false when the shape is beyond the limits. */
bool stg__net_init(stg__net *net, const stg__shape *shape);
/* Packs parameters for the forward pass, and transposed for the reverse pass. */
void stg__net_pack(const stg__net *net, const real *params, real *packed);
void stg__net_pack_back(const stg__net *net, const real *params, real *packed);
/* Start of training: normal numbers of Glorot's variance, bias of the gates 1. */
void stg__net_start(const stg__net *net, real *params, uint64_t seed);

typedef struct stg__run {
    stg_ctx *ctx;
    const stg__net *net;
    const stg__kernels *kernels;
    const stg__supports *supports; /* not looked at when hops is 0 */
    uint32_t nodes;
    bool taped;                 /* all slots are kept */
    stg__crew *crew;            /* shares the rows of the forward pass; NULL: the caller alone */
    real *g[STG__MAX_LAYERS];   /* [slots][nodes][M units] diffused states */
    real *ru[STG__MAX_LAYERS];  /* [steps][nodes][gates units] */
    real *rh[STG__MAX_LAYERS];  /* [steps][nodes][M units] diffused r h */
    real *c[STG__MAX_LAYERS];   /* [steps][nodes][units] */
    real *s[STG__MAX_LAYERS];   /* LSTM: [slots][nodes][units] states of the cells */
    real *th[STG__MAX_LAYERS];  /* LSTM: [steps][nodes][units] their tanh */
    real *kept;                 /* of stg__run_carry(): the state while a decoder runs */
    real *x[2];                 /* [steps of the part][nodes][M inputs] diffused inputs */
    real *out;                  /* [horizon][nodes][targets] */
    real *top;                  /* without a decoder: [nodes][units] what the projection reads */
    real *wide;                 /* and what it makes: [nodes][outputs] */
    uint8_t *own;               /* [horizon][nodes][targets] 1: the decoder's next step read its own
                                   output, 0: a label; only when taped */
    void *memory;
} stg__run;

int32_t stg__run_create(stg__run *run, stg_ctx *ctx, const stg__net *net, uint32_t nodes, bool taped);
void stg__run_clear(stg__run *run); /* zeroed memory is allowed */

/*
 * What a forward pass reads besides parameters. x: [history][nodes][inputs], behind as many steps as
 * `warmup` says, from which the state is that the history begins with (without, it is zero); extras:
 * [horizon][extras]; feed: [horizon] 1: the step after reads the label; labels:
 * [horizon][nodes][targets], NaN: unknown; feed may be NULL. base:
 * [horizon][nodes][targets], added to the outputs, so that the net learns the way from there; may be
 * NULL.
 */
typedef struct stg__feed {
    const real *x;
    const real *extras;
    const real *labels;
    const uint8_t *feed;
    const real *base;
    uint32_t warmup; /* steps of the encoder before x, read from what lies in front of it; no tape of them */
} stg__feed;

/* Encoder over the history, then `steps` steps of the decoder into run->out; without a decoder all. */
void stg__run_forward(stg__run *run, const real *packed, const stg__feed *feed, uint32_t steps);
/*
 * The same with a state that is carried on from window to window, in slot 0 of a run: reset makes it zero,
 * step takes one step of the encoder (x: [nodes][inputs]), decode makes outputs from it and leaves it as
 * it is, for which carry gets the memory. What a state is in full, its diffused copies not counted, is
 * [layers][nodes][units], of an LSTM twice: read gets it, write sets it and diffuses it.
 */
int32_t stg__run_carry(stg__run *run);
void stg__run_reset(stg__run *run);
void stg__run_step(stg__run *run, const real *packed, const real *x);
void stg__run_decode(stg__run *run, const real *packed, const stg__feed *feed, uint32_t steps);
void stg__run_read(const stg__run *run, real *state);
void stg__run_write(stg__run *run, const real *state);
/* Parts of it. */
void stg__run_direct(stg__run *run, const real *packed, const real *base);
void stg__run_cell(stg__run *run, const real *packed, uint32_t part, uint32_t layer, uint32_t t);
void stg__run_lstm(stg__run *run, const real *packed, uint32_t part, uint32_t layer, uint32_t t);
void stg__run_diffuse(const stg__run *run, real *copies, uint32_t width);
real *stg__run_cells(const stg__run *run, uint32_t layer, uint32_t slot); /* LSTM: [nodes][units] */
void stg__run_product(const stg__run *run, const stg__product *p); /* rows: all nodes; 1 or 2 segments */
real *stg__run_state(const stg__run *run, uint32_t layer, uint32_t slot); /* [nodes][M units] */
real *stg__run_inputs(const stg__run *run, uint32_t part, uint32_t t);    /* [nodes][M inputs] */

/* Memory of the reverse pass of one sample. */
typedef struct stg__back {
    stg_ctx *ctx;
    const stg__run *run;
    real *dg[STG__MAX_LAYERS];  /* [nodes][M units] of the diffused state at hand */
    real *dh[STG__MAX_LAYERS];  /* [nodes][units] of the state itself, past diffusion */
    real *dru[STG__MAX_LAYERS]; /* [steps][nodes][gates units] before the sigmoid */
    real *ds[STG__MAX_LAYERS];  /* LSTM: [nodes][units] of the cells' states */
    real *dc[STG__MAX_LAYERS];  /* [steps][nodes][units] before the tanh */
    real *drh;                  /* [nodes][M units] */
    real *dx;                   /* [nodes][M inputs] of the lowest layer, at the step at hand */
    real *dout;                 /* [horizon][nodes][targets]: set by the caller */
    real *wide;                 /* without a decoder: the same as [nodes][outputs] */
    void *memory;
} stg__back;

int32_t stg__back_create(stg__back *back, stg_ctx *ctx, const stg__run *run);
void stg__back_clear(stg__back *back);

/* Adds the gradient of all parameters to gradient; run holds the tape of a forward pass of `steps`
 * decoder steps, back->dout the derivative by its outputs (overwritten). */
void stg__back_run(stg__back *back, const real *packed_back, uint32_t steps, real *gradient);
/* Parts of it. */
void stg__back_direct(stg__back *back, const real *packed_back, uint32_t steps, real *gradient);
void stg__back_reset(stg__back *back);
void stg__back_cell(stg__back *back, const real *packed_back, uint32_t part, uint32_t layer,
                    uint32_t t, bool want_dx);
void stg__back_lstm(stg__back *back, const real *packed_back, uint32_t part, uint32_t layer, uint32_t t,
                    bool want_dx);
void stg__back_weights(stg__back *back, uint32_t part, uint32_t first, uint32_t steps,
                       real *gradient);
void stg__back_fold(const stg__back *back, real *copies, uint32_t width); /* adjoint of diffuse */

#endif
