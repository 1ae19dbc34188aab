/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of PyTorch. A file of torch.save is a zip with a pickle, and a pickle is a program; the
 * part of it that builds dictionaries, lists, numbers, texts and tensors is understood here, and
 * nothing is ever executed, imported or looked up.
 */
#ifndef STG_TORCH_H
#define STG_TORCH_H

#include "base_priv.h"

/*
 * Reads what torch.save wrote (zip form, since PyTorch 1.6) into a new bundle: each tensor under the
 * path of dictionary keys that leads to it, joined by '/', each scalar setting as metadata under its
 * path. Lists and tuples count: their items' keys are "0", "1", ...; whole numbers as keys are written
 * in decimal.
 *
 * Tensors come out contiguous: float as F32, double as F64, half and bfloat16 widened to F32, long as
 * I64, int as I32, byte and bool as U8; a tensor without dimensions gets the shape [1]. Other types
 * and more than four dimensions are errors that name the tensor.
 *
 * Scalars: whole numbers in decimal (read by stg__bundle_meta_u64() when not negative), floats as
 * stg__bundle_meta_num() reads them, bools as "true" and "false", texts as they are.
 *
 * Left out, and no error: None; texts that are not UTF-8, hold control characters or more than 4096
 * bytes; whole numbers beyond 64 bits with sign; byte strings and sets; attributes of objects; and
 * everything that another call than OrderedDict's or a tensor's would have to make, such as numpy's
 * scalars, an argparse.Namespace or a class of a stranger, with all that lies in it. So is what stands
 * under a key that cannot be part of a name: one that is empty, is neither text nor a whole number,
 * holds '/', control characters or no UTF-8, or makes the path longer than 511 bytes; and what would be
 * called "__metadata__".
 *
 * Errors: E_FORMAT for anything malformed, two values of one path, older files of torch.save, other
 * kinds of files and a file that holds no dictionary, list or tuple; E_LIMIT beyond 1 GiB of tensors,
 * 16,384 tensors, 65,536 settings or 32 levels (a dictionary that holds itself), and where the file is
 * larger than any checkpoint in some other way; E_NOMEM.
 */
int32_t stg__torch_read(stg_bundle **out, stg_ctx *ctx, const void *data, size_t len, stg_error *err);

#endif
