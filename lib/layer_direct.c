/* layer_direct.c: a convolution and the max-pool behind it in one. */
#include "layer_direct.h"
#include "die.h"
#include "layer_conv.h"
#include "layer_pool.h"
#include "mat.h"

#include <string.h>

enum {
    LARGEST = 1 << 24, /* entries of a padded image */
    NEAR_BY = 1 << 13, /* entries that stay in the cache nearest by */
    BIAS_LANES = 16,   /* partial sums of a bias gradient */
    CHANNELS = 8,      /* whose weights' gradients are worth a thread */
    CHUNK = 32,        /* what the portable chain gathers at once */
    COLUMNS = 256
};

/* Sizes of a pair.  Images have their channels last and their padding around
 * them. */
struct pair {
    const struct uh_layer *conv, *pool;
    const struct uh_direct_kernel *kernel; /* NULL: the portable one */
    size_t channels, outs;
    size_t height, width; /* of an image */
    size_t image;         /* entries */
    size_t down, across;  /* from an output place to the one below, beside */
    size_t rows, run;     /* of the kernel; entries of one */
    size_t terms;         /* of a sum */
    size_t places;        /* of the convolution */
    size_t windows, area; /* of the pool; places of one */
    uint32_t *offset;     /* (places) where a place's terms begin */
};

static const struct uh_direct_kernel *kernel_here(void)
{
#if defined(__x86_64__)
    enum uh_kernel kernel = uh_kernel_choice();
    if (kernel == UH_KERNEL_AVX512) {
        return &uh_direct_avx512;
    }
    if (kernel == UH_KERNEL_AVX2) {
        return &uh_direct_avx2;
    }
#endif
    return NULL;
}

int uh_layer_joins(const struct uh_layer *conv, const struct uh_layer *pool)
{
    int joins = conv->kind == UH_CONV && pool->kind == UH_MAXPOOL &&
                conv->groups == 1 &&
                pool->kernel[0] * pool->kernel[1] <= UH_DIRECT_ROWS;
    for (int axis = 0; axis < 2; axis++) {
        size_t in = axis ? pool->in.width : pool->in.height;
        size_t out = axis ? pool->out.width : pool->out.height;
        joins &= conv->dilation[axis] == 1 && pool->pad[axis] == 0 &&
                 pool->stride[axis] == pool->kernel[axis] &&
                 out * pool->kernel[axis] <= in;
    }
    return joins && conv->in.channels * (conv->in.height + 2 * conv->pad[0]) *
                            (conv->in.width + 2 * conv->pad[1]) <=
                        LARGEST;
}

static struct pair pair_of(const struct uh_layer *conv,
                           const struct uh_layer *pool,
                           struct uh_arena *scratch)
{
    struct pair p = {.conv = conv, .pool = pool, .kernel = kernel_here()};
    p.channels = conv->in.channels;
    p.outs = conv->out.channels;
    p.height = conv->in.height + 2 * conv->pad[0];
    p.width = conv->in.width + 2 * conv->pad[1];
    p.image = p.channels * p.height * p.width;
    p.down = conv->stride[0] * p.width * p.channels;
    p.across = conv->stride[1] * p.channels;
    p.rows = conv->kernel[0];
    p.run = conv->kernel[1] * p.channels;
    p.terms = p.rows * p.run;
    p.places = conv->out.height * conv->out.width;
    p.windows = pool->out.height * pool->out.width;
    p.area = pool->kernel[0] * pool->kernel[1];
    p.offset = uh_arena_alloc_raw(scratch, p.places, sizeof *p.offset);
    for (size_t i = 0; i < p.places; i++) {
        p.offset[i] = (uint32_t)(i / conv->out.width * p.down +
                                 i % conv->out.width * p.across);
    }
    return p;
}

/* -- moving things --------------------------------------------------------- */

typedef float quad __attribute__((vector_size(16)));

static inline quad load_quad(const float *from)
{
    quad q;
    memcpy(&q, from, sizeof q);
    return q;
}

/* to[j to_step + i] = from[i from_step + j] for i < rows, j < cols.  By memcpy,
 * for words of any kind. */
static void transpose(size_t rows, size_t cols, const float *from,
                      size_t from_step, float *to, size_t to_step)
{
    size_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const float *f = from + i * from_step;
        float *t = to + i;
        size_t j = 0;
        for (; j + 4 <= cols; j += 4, f += 4, t += 4 * to_step) {
            quad a = load_quad(f), b = load_quad(f + from_step);
            quad c = load_quad(f + 2 * from_step);
            quad d = load_quad(f + 3 * from_step);
            quad ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
            quad ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            quad cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
            quad cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            quad y0 = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
            quad y1 = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
            quad y2 = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
            quad y3 = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
            memcpy(t, &y0, sizeof y0);
            memcpy(t + to_step, &y1, sizeof y1);
            memcpy(t + 2 * to_step, &y2, sizeof y2);
            memcpy(t + 3 * to_step, &y3, sizeof y3);
        }
        for (; j < cols; j++, f++, t += to_step) {
            for (size_t k = 0; k < 4; k++) {
                memcpy(t + k, f + k * from_step, sizeof *t);
            }
        }
    }
    for (; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            memcpy(to + j * to_step + i, from + i * from_step + j, sizeof *to);
        }
    }
}

/* Whether images are as they should be: one channel, no padding. */
static int as_it_is(const struct pair *p)
{
    return p->image == uh_shape_size(p->conv->in) && p->channels == 1;
}

static float *room_for_images(const struct pair *p, size_t images,
                              struct uh_arena *scratch)
{
    return as_it_is(p) ? NULL
                       : uh_arena_alloc(scratch, uh_size_mul(images, p->image),
                                        sizeof(float));
}

/* Channels last: to lies within padding, which is 0 already. */
static void put_in(const struct pair *p, const float *x, float *to)
{
    size_t width = p->conv->in.width, plane = p->conv->in.height * width;
    to += (p->conv->pad[0] * p->width + p->conv->pad[1]) * p->channels;
    for (size_t y = 0; y < p->conv->in.height; y++) {
        transpose(p->channels, width, x + y * width, plane,
                  to + y * p->width * p->channels, p->channels);
    }
}

static void take_out(const struct pair *p, const float *from, float *x)
{
    size_t width = p->conv->in.width, plane = p->conv->in.height * width;
    from += (p->conv->pad[0] * p->width + p->conv->pad[1]) * p->channels;
    for (size_t y = 0; y < p->conv->in.height; y++) {
        transpose(width, p->channels, from + y * p->width * p->channels,
                  p->channels, x + y * width, plane);
    }
}

/* So many images with channels last: x itself where that is the same. */
static const float *images_of(const struct pair *p, size_t images,
                              const float *x, float *room)
{
    for (size_t m = 0; room && m < images; m++) {
        put_in(p, x + m * uh_shape_size(p->conv->in), room + m * p->image);
    }
    return room ? room : x;
}

/* The weights of an out-channel with its channels last, and back. */
static void turn(const struct pair *p, size_t outs, const float *w, float *to)
{
    size_t kernel = p->terms / p->channels;
    for (size_t o = 0; o < outs; o++, w += p->terms, to += p->terms) {
        transpose(p->channels, kernel, w, kernel, to, p->channels);
    }
}

static void turn_back(const struct pair *p, size_t outs, const float *from,
                      float *w)
{
    size_t kernel = p->terms / p->channels;
    for (size_t o = 0; o < outs; o++, w += p->terms, from += p->terms) {
        transpose(kernel, p->channels, from, p->channels, w, kernel);
    }
}

/* -- forward ----------------------------------------------------------------- */

/* What all images share: weights in panels, where terms and windows are. */
struct layout {
    struct pair p;
    float *panel, *bias; /* (panels, terms, width), (panels, width) */
    uint32_t *term;      /* (terms) offsets */
    uint32_t *number;    /* (windows, area) places */
    const float *x;
    float *y;
    uint32_t *choice; /* or NULL */
    size_t n, per_cell;
};

static void lay_out(struct layout *l, struct uh_arena *scratch)
{
    const struct pair *p = &l->p;
    const struct uh_layer *conv = p->conv, *pool = p->pool;
    size_t width = p->kernel->width, panels = (p->outs + width - 1) / width;
    l->panel =
        uh_arena_alloc(scratch, panels * p->terms * width, sizeof(float));
    l->bias = uh_arena_alloc(scratch, panels * width, sizeof(float));
    memcpy(l->bias, conv->bias, p->outs * sizeof *l->bias);
    for (size_t o = 0; o < p->outs; o += width) {
        size_t outs = p->outs - o < width ? p->outs - o : width;
        transpose(outs, p->terms, conv->weight + o * p->terms, p->terms,
                  l->panel + o * p->terms, width);
    }
    l->term = uh_arena_alloc_raw(scratch, p->terms, sizeof *l->term);
    uint32_t *term = l->term;
    for (size_t c = 0; c < p->channels; c++) {
        for (size_t i = 0; i < p->rows; i++) {
            for (size_t j = 0; j < conv->kernel[1]; j++) {
                *term++ = (uint32_t)((i * p->width + j) * p->channels + c);
            }
        }
    }
    l->number =
        uh_arena_alloc_raw(scratch, p->windows * p->area, sizeof *l->number);
    uint32_t *number = l->number;
    for (size_t w = 0; w < p->windows; w++) {
        size_t top = w / pool->out.width * pool->kernel[0];
        size_t left = w % pool->out.width * pool->kernel[1];
        for (size_t i = 0; i < p->area; i++) {
            *number++ =
                (uint32_t)((top + i / pool->kernel[1]) * conv->out.width +
                           left + i % pool->kernel[1]);
        }
    }
}

/* One image through one panel; best and choice are (windows, width). */
static void run_panel(const struct layout *l, size_t panel, const float *image,
                      float *best, uint32_t *choice)
{
    const struct pair *p = &l->p;
    const float *at[UH_DIRECT_ROWS];
    size_t width = p->kernel->width, most = UH_DIRECT_ROWS / p->area;
    struct uh_direct_tile tile = {.area = p->area,
                                  .at = at,
                                  .terms = p->terms,
                                  .offset = l->term,
                                  .panel = l->panel + panel * p->terms * width,
                                  .bias = l->bias + panel * width};
    for (size_t w = 0; w < p->windows; w += tile.windows) {
        tile.windows = p->windows - w < most ? p->windows - w : most;
        tile.number = l->number + w * p->area;
        for (size_t i = 0; i < tile.windows * p->area; i++) {
            at[i] = image + p->offset[tile.number[i]];
        }
        tile.best = best + w * width;
        tile.choice = choice + w * width;
        p->kernel->tile(&tile);
    }
}

static void forward_images(const struct layout *l, size_t first, size_t n,
                           struct uh_arena *scratch)
{
    const struct pair *p = &l->p;
    size_t width = p->kernel->width, made = p->outs * p->windows;
    float *room = room_for_images(p, 1, scratch);
    float *best = uh_arena_alloc_raw(scratch, p->windows * width, sizeof *best);
    uint32_t *choice =
        uh_arena_alloc_raw(scratch, p->windows * width, sizeof *choice);
    for (size_t m = first; m < first + n; m++) {
        const float *image =
            images_of(p, 1, l->x + m * uh_shape_size(p->conv->in), room);
        for (size_t o = 0; o < p->outs; o += width) {
            size_t outs = p->outs - o < width ? p->outs - o : width;
            size_t to = m * made + o * p->windows;
            run_panel(l, o / width, image, best, choice);
            transpose(p->windows, outs, best, width, l->y + to, p->windows);
            if (l->choice) {
                transpose(p->windows, outs, (const float *)choice, width,
                          (float *)(l->choice + to), p->windows);
            }
        }
    }
}

/* Without a kernel: one layer behind the other, an image at a time. */
static void forward_apart(const struct layout *l, size_t first, size_t n,
                          struct uh_pool *serial)
{
    const struct pair *p = &l->p;
    size_t in = uh_shape_size(p->conv->in), made = p->outs * p->windows;
    float *y = uh_arena_alloc_raw(uh_pool_scratch(serial), p->outs * p->places,
                                  sizeof *y);
    for (size_t m = first; m < first + n; m++) {
        uh_layer_conv_forward(p->conv, serial, 1, l->x + m * in, y);
        uh_layer_pool_forward(p->pool, 1, y, l->y + m * made,
                              l->choice ? l->choice + m * made : NULL);
    }
}

static void forward_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct layout *l = context;
    size_t first = index * l->per_cell;
    size_t n = l->n - first < l->per_cell ? l->n - first : l->per_cell;
    if (l->p.kernel) {
        forward_images(l, first, n, uh_pool_scratch(serial));
    } else {
        forward_apart(l, first, n, serial);
    }
}

/* Images of a cell: some cells for each thread. */
static size_t images_per_cell(const struct uh_pool *pool, size_t n)
{
    size_t cells = uh_pool_threads(pool) == 1 ? 1 : 4 * uh_pool_threads(pool);
    return n < cells ? 1 : (n + cells - 1) / cells;
}

void uh_layer_joined_forward(const struct uh_layer *conv,
                             const struct uh_layer *pool,
                             struct uh_pool *threads, size_t n, const float *x,
                             float *y, uint32_t *choice)
{
    UH_REQUIRE(uh_layer_joins(conv, pool), "%s and %s",
               uh_kind_word(conv->kind), uh_kind_word(pool->kind));
    struct uh_arena *scratch = uh_pool_scratch(threads);
    struct uh_mark mark = uh_arena_open(scratch);
    struct layout l = {.p = pair_of(conv, pool, scratch),
                       .x = x,
                       .y = y,
                       .choice = choice,
                       .n = n,
                       .per_cell = images_per_cell(threads, n)};
    if (l.p.kernel) {
        lay_out(&l, scratch);
    }
    uh_cells(threads, (n + l.per_cell - 1) / l.per_cell, forward_cell, &l);
    uh_arena_release(scratch, mark);
}

/* -- backward ---------------------------------------------------------------- */

struct back {
    struct pair p;
    size_t n;
    const float *x, *dy;
    const uint32_t *choice;
    float *dweight, *dbias, *dx; /* NULL: not wanted */
    float *turned;               /* the weights with their channels last */
    size_t per_cell;             /* images, of dx */
    size_t dx_cells;             /* they come first, then those of weights */
};

/* The same without fused instructions: gathers, then multiplies. */
static void chain_apart(const struct uh_direct_chain *c, struct uh_pool *serial)
{
    float part[CHUNK * COLUMNS];
    for (size_t i = 0; i < c->rows; i++) {
        const float *from = c->from + i * c->from_step;
        for (size_t e = 0; e < c->length; e += COLUMNS) {
            size_t cols = c->length - e < COLUMNS ? c->length - e : COLUMNS;
            for (size_t k = 0; k < c->count; k += CHUNK) {
                size_t count = c->count - k < CHUNK ? c->count - k : CHUNK;
                for (size_t j = 0; j < count; j++) {
                    memcpy(part + j * COLUMNS, from + c->at[k + j] + e,
                           cols * sizeof *part);
                }
                uh_sgemm_with(UH_KERNEL_PORTABLE, serial, UH_NN, 1, cols, count,
                              c->value + k, count, part, COLUMNS, UH_FROM_C,
                              c->to + i * c->to_step + e, cols);
            }
        }
    }
}

static void run_chain(const struct pair *p, const struct uh_direct_chain *c,
                      struct uh_pool *serial)
{
    if (p->kernel) {
        p->kernel->chain(c);
    } else {
        chain_apart(c, serial);
    }
}

/* Of n windows those that won at places first .. first + width - 1 and have a
 * gradient, behind the count listed.  (A call of its own: all in registers.) */
__attribute__((noinline)) static size_t
list_row(size_t n, uint32_t first, uint32_t width, const float *restrict dy,
         const uint32_t *restrict choice, size_t count, float *restrict value,
         uint32_t *restrict place)
{
    for (size_t w = 0; w < n; w++) {
        uint32_t bits, at = choice[w];
        memcpy(&bits, dy + w, sizeof bits);
        memcpy(value + count, &bits, sizeof bits);
        place[count] = at;
        count += (at - first < width) & (bits << 1 != 0);
    }
    return count;
}

/* The winners of one channel of one image that have a gradient, by place:
 * those of a row of windows lie in as many rows as a window has. */
static size_t list_winners(const struct pair *p, const float *dy,
                           const uint32_t *choice, float *value,
                           uint32_t *place)
{
    size_t count = 0, n = p->pool->out.width, high = p->pool->kernel[0];
    uint32_t width = (uint32_t)p->conv->out.width, first = 0;
    for (size_t top = 0; top < p->pool->out.height; top++) {
        for (size_t y = 0; y < high; y++, first += width) {
            count = list_row(n, first, width, dy + top * n, choice + top * n,
                             count, value, place);
        }
    }
    return count;
}

static float bias_sum(size_t n, const float *value, const uint32_t *place)
{
    float lane[BIAS_LANES] = {0};
    for (size_t k = 0; k < n; k++) {
        lane[place[k] % BIAS_LANES] += value[k];
    }
    float sum = lane[0];
    for (size_t j = 1; j < BIAS_LANES; j++) {
        sum += lane[j];
    }
    return sum;
}

/* Adds what some images give to the gradients of one out-channel; gradient is
 * its weights' with channels last. */
static void add_images(const struct back *b, size_t o, size_t first, size_t n,
                       const float *images, float *value, uint32_t *at,
                       float *gradient, struct uh_pool *serial)
{
    const struct pair *p = &b->p;
    size_t count = 0;
    for (size_t m = 0; m < n; m++) {
        size_t from = ((first + m) * p->outs + o) * p->windows;
        size_t more = list_winners(p, b->dy + from, b->choice + from,
                                   value + count, at + count);
        if (b->dbias) {
            b->dbias[o] += bias_sum(more, value + count, at + count);
        }
        for (size_t k = count; k < count + more; k++) {
            at[k] = p->offset[at[k]] + (uint32_t)(m * p->image);
        }
        count += more;
    }
    struct uh_direct_chain chain = {
        count,    value, at, p->rows, p->run, images, p->width * p->channels,
        gradient, p->run};
    if (gradient) {
        run_chain(p, &chain, serial);
    }
}

/* The gradients to the weights and biases of some out-channels. */
static void weights_cell(const struct back *b, size_t o0,
                         struct uh_pool *serial)
{
    const struct pair *p = &b->p;
    struct uh_arena *scratch = uh_pool_scratch(serial);
    size_t outs = b->per_cell == b->n ? p->outs : CHANNELS;
    outs = outs < p->outs - o0 ? outs : p->outs - o0;
    size_t group = p->image < NEAR_BY ? NEAR_BY / p->image : 1;
    group = group < b->n ? group : b->n;
    float *room = room_for_images(p, group, scratch), *gradient = NULL;
    /* (one more: the last of a list is written, then counted or not) */
    size_t most = uh_size_add(uh_size_mul(group, p->windows), 1);
    float *value = uh_arena_alloc_raw(scratch, most, sizeof *value);
    uint32_t *at = uh_arena_alloc_raw(scratch, most, sizeof *at);
    if (b->dweight) {
        gradient = uh_arena_alloc_raw(scratch, outs * p->terms, sizeof(float));
        turn(p, outs, b->dweight + o0 * p->terms, gradient);
    }
    for (size_t m = 0; m < b->n; m += group) {
        size_t n = b->n - m < group ? b->n - m : group;
        const float *images =
            images_of(p, n, b->x + m * uh_shape_size(p->conv->in), room);
        for (size_t o = 0; o < outs; o++) {
            add_images(b, o0 + o, m, n, images, value, at,
                       gradient ? gradient + o * p->terms : NULL, serial);
        }
    }
    if (b->dweight) {
        turn_back(p, outs, gradient, b->dweight + o0 * p->terms);
    }
}

/* The winners of one image that have a gradient, by place, then out-channel:
 * those of a place are start[place] to start[place + 1]. */
struct list {
    uint32_t *start; /* (places + 2) */
    float *value;    /* (outs * windows) */
    uint32_t *at;    /* where the out-channel's weights begin */
};

static struct list list_of(const struct back *b, size_t image,
                           struct uh_arena *scratch)
{
    const struct pair *p = &b->p;
    size_t n = p->outs * p->windows;
    const float *dy = b->dy + image * n;
    const uint32_t *choice = b->choice + image * n;
    struct list l = {uh_arena_alloc(scratch, p->places + 2, sizeof *l.start),
                     uh_arena_alloc_raw(scratch, n, sizeof *l.value),
                     uh_arena_alloc_raw(scratch, n, sizeof *l.at)};
    for (size_t k = 0; k < n; k++) {
        l.start[choice[k] + 2] += dy[k] != 0;
    }
    for (size_t place = 0; place <= p->places; place++) {
        l.start[place + 1] += l.start[place];
    }
    for (size_t k = 0; k < n; k++) {
        if (dy[k] != 0) {
            uint32_t to = l.start[choice[k] + 1]++;
            l.value[to] = dy[k];
            l.at[to] = (uint32_t)(k / p->windows * p->terms);
        }
    }
    return l;
}

/* Adds what goes through row i of the kernel; columns of places descend, so
 * that what falls on a place of the image is added by columns of the kernel. */
static void add_row(const struct back *b, size_t i, const struct list *list,
                    float *sum, float *dx, struct uh_pool *serial)
{
    const struct pair *p = &b->p;
    for (size_t place = p->places; place-- > 0;) {
        uint32_t start = list->start[place];
        size_t count = list->start[place + 1] - start;
        if (count == 0) {
            continue;
        }
        struct uh_direct_chain chain = {count,
                                        list->value + start,
                                        list->at + start,
                                        1,
                                        p->run,
                                        b->turned + i * p->run,
                                        0,
                                        sum,
                                        0};
        memset(sum, 0, p->run * sizeof *sum);
        run_chain(p, &chain, serial);
        float *to = dx + p->offset[place] + i * p->width * p->channels;
        for (size_t e = 0; e < p->run; e++) {
            to[e] += sum[e];
        }
    }
}

/* The gradients to some images: row by row of the kernel, whose weights stay
 * near by meanwhile. */
static void images_cell(const struct back *b, size_t first,
                        struct uh_pool *serial)
{
    const struct pair *p = &b->p;
    struct uh_arena *scratch = uh_pool_scratch(serial);
    size_t n = b->n - first < b->per_cell ? b->n - first : b->per_cell;
    float *dx = uh_arena_alloc(scratch, uh_size_mul(n, p->image), sizeof *dx);
    float *sum = uh_arena_alloc_raw(scratch, p->run, sizeof *sum);
    struct list *list = uh_arena_alloc(scratch, n, sizeof *list);
    for (size_t m = 0; m < n; m++) {
        list[m] = list_of(b, first + m, scratch);
    }
    for (size_t i = 0; i < p->rows; i++) {
        for (size_t m = 0; m < n; m++) {
            add_row(b, i, &list[m], sum, dx + m * p->image, serial);
        }
    }
    for (size_t m = 0; m < n; m++) {
        take_out(p, dx + m * p->image,
                 b->dx + (first + m) * uh_shape_size(p->conv->in));
    }
}

static void backward_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct back *b = context;
    if (index < b->dx_cells) {
        images_cell(b, index * b->per_cell, serial);
    } else {
        weights_cell(b, (index - b->dx_cells) * CHANNELS, serial);
    }
}

void uh_layer_joined_backward(const struct uh_layer *conv,
                              const struct uh_layer *pool,
                              struct uh_pool *threads, size_t n, const float *x,
                              const uint32_t *choice, const float *dy,
                              float *dweight, float *dbias, float *dx)
{
    UH_REQUIRE(uh_layer_joins(conv, pool), "%s and %s",
               uh_kind_word(conv->kind), uh_kind_word(pool->kind));
    struct uh_arena *scratch = uh_pool_scratch(threads);
    struct uh_mark mark = uh_arena_open(scratch);
    struct back b = {.p = pair_of(conv, pool, scratch),
                     .n = n,
                     .x = x,
                     .dy = dy,
                     .choice = choice,
                     .dweight = dweight,
                     .dbias = dbias,
                     .dx = dx,
                     .per_cell = images_per_cell(threads, n)};
    size_t cells = 0;
    if (dx) {
        b.turned =
            uh_arena_alloc_raw(scratch, b.p.outs * b.p.terms, sizeof *b.turned);
        turn(&b.p, b.p.outs, conv->weight, b.turned);
        cells = b.dx_cells = (n + b.per_cell - 1) / b.per_cell;
    }
    if (dweight || dbias) {
        cells += b.per_cell == n ? 1 : (b.p.outs + CHANNELS - 1) / CHANNELS;
    }
    uh_cells(threads, cells, backward_cell, &b);
    uh_arena_release(scratch, mark);
}
