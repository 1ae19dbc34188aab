/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of the optimiser: what the trainer's words mean, which numbers are of use, and the learning
 * rate of each epoch.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train_priv.h"

#define MOST_EPOCH 1000000u

static const stg__word losses[] = {
    {"mae", STG__MAE}, {"mse", STG__MSE}, {"huber", STG__HUBER}, {NULL, 0}};
static const stg__word optimizers[] = {{"adamw", STG__ADAMW}, {"adam", STG__ADAM}, {NULL, 0}};
static const stg__word schedules[] = {{"plateau", STG__PLATEAU},
                                      {"constant", STG__CONSTANT},
                                      {"steps", STG__STEPS},
                                      {"cosine", STG__COSINE},
                                      {NULL, 0}};

/* The first word is the default. */
static int32_t word(const stg__word *words, const char *text, const char *what, uint32_t *value,
                    stg_error *err)
{
    *value = words->value;
    if (!text)
        return STG_OK;
    for (; words->text; words++)
        if (strcmp(words->text, text) == 0) {
            *value = words->value;
            return STG_OK;
        }
    return stg__fail(err, STG_E_INVALID, "%s: there is none called \"%.40s\"", what, text);
}

/* Epochs "20,30,40", each later than the one before. */
static int32_t read_milestones(stg__course *c, const char *text, stg_error *err)
{
    uint32_t before = 0;
    for (const char *at = text; text; at++) {
        uint32_t epoch = 0;
        const char *digit = at;
        for (; *digit >= '0' && *digit <= '9' && epoch < MOST_EPOCH; digit++)
            epoch = epoch * 10 + (uint32_t)(*digit - '0');
        if (digit == at || epoch <= before || epoch > MOST_EPOCH || (*digit && *digit != ',') ||
            c->milestones == STG__MAX_MILESTONES)
            return stg__fail(err, STG_E_INVALID,
                             "milestones: \"%.60s\" are not up to %u epochs in their order", text,
                             STG__MAX_MILESTONES);
        c->milestone[c->milestones++] = before = epoch;
        if (!*digit)
            break;
        at = digit;
    }
    return c->schedule != STG__STEPS || c->milestones
               ? STG_OK
               : stg__fail(err, STG_E_INVALID, "schedule \"steps\" needs milestones");
}

static int32_t check_numbers(const stg__course *c, stg_error *err)
{
    const struct {
        const char *name;
        double value;
        double least;
        double most;
    } bound[] = {
        {"huber_delta", c->loss.delta, 1e-6, 1e6},  {"epsilon", c->epsilon, 1e-12, 1},
        {"beta1", c->beta1, 0, 0.9999999},          {"beta2", c->beta2, 0, 0.9999999},
        {"weight_decay", c->decay, 0, 1e3},         {"rate_factor", c->factor, 1e-6, 1},
        {"rate_floor", c->floor, 0, 1e3},
    };
    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++)
        if (!(bound[i].value >= bound[i].least && bound[i].value <= bound[i].most))
            return stg__fail(err, STG_E_INVALID, "%s is %g, not from %g to %g", bound[i].name,
                             bound[i].value, bound[i].least, bound[i].most);
    return STG_OK;
}

static double or_else(double value, double otherwise)
{
    return value != 0 ? value : otherwise; /* NaN stays and is refused */
}

int32_t stg__course_read(stg__course *c, const stg_trainer_opts *o, stg_error *err)
{
    STG_RETURN_IF_ERROR(word(losses, o->loss, "loss", &c->loss.kind, err));
    STG_RETURN_IF_ERROR(word(optimizers, o->optimizer, "optimizer", &c->optimizer, err));
    STG_RETURN_IF_ERROR(word(schedules, o->schedule, "schedule", &c->schedule, err));
    STG_RETURN_IF_ERROR(read_milestones(c, o->milestones, err));
    c->loss.delta = or_else(o->huber_delta, 1);
    c->epsilon = or_else(o->epsilon, 1e-8);
    c->beta1 = or_else(o->beta1, 0.9);
    c->beta2 = or_else(o->beta2, 0.999);
    c->decay = or_else(o->weight_decay, c->optimizer == STG__ADAMW ? 0.1 : 0);
    if (c->decay < 0)
        c->decay = 0;
    c->factor = or_else(o->rate_factor, c->schedule == STG__STEPS ? 0.1 : 0.5);
    c->floor = o->rate_floor;
    return check_numbers(c, err);
}

double stg__course_rate(const stg__course *c, double first, double now, uint32_t epoch,
                        uint32_t epochs, uint32_t idle)
{
    double rate = first;
    if (c->schedule == STG__PLATEAU)
        rate = idle && idle % 3 == 0 ? now * c->factor : now;
    else if (c->schedule == STG__STEPS)
        for (uint32_t i = 0; i < c->milestones && c->milestone[i] <= epoch; i++)
            rate *= c->factor;
    else if (c->schedule == STG__COSINE)
        rate = c->floor +
               (first - c->floor) * 0.5 * (1 + cos(3.14159265358979323846 * epoch / epochs));
    return rate > c->floor ? rate : c->floor;
}
