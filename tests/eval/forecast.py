#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains on real series with `stgraph train`, judges with `stgraph eval forecast`, beside baselines.

    forecast.py BUILD SHARED chickenpox|los [--seeds N] [--quick] [--baselines] [--models DIR]

Needs NumPy and statsmodels. Nothing of a test part is looked at by training or by a baseline's choices; the
epoch is that of the lowest validation loss. Prints one table a series: mean and range over the seeds."""
import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import baselines as b


class Series:
    """rows: all of it; train, valid: rows that training sees, and the first of them that validates; test:
    the first row that a test's history may hold; steps: ahead, each as (name, horizon)."""

    def __init__(self, name, rows, edges, train, valid, test, history, horizon, options, squared=False):
        self.name, self.rows, self.edges = name, rows, edges
        self.train, self.valid, self.test = train, valid, test
        self.history, self.horizon, self.options = history, horizon, options
        self.squared = 'mse' if squared else 'rmse'
        self.steps = sorted({1, horizon} if horizon < 4 else {3, 6, 9, 12} & set(range(horizon + 1)))

    def write(self, folder):
        names = ','.join(f'n{i}' for i in range(self.rows.shape[1]))

        def table(name, rows):
            lines = [names] + [','.join(f'{x:.9g}' for x in row) for row in rows]
            (folder / name).write_text('\n'.join(lines) + '\n')
        table('train.csv', self.rows[:self.train])
        for step in self.steps:  # labels that are not asked for are missing: every window has its step
            table(f'test{step}.csv', np.vstack([self.rows[self.test:], np.full(
                (self.horizon - step, self.rows.shape[1]), np.nan)]))
        (folder / 'graph.csv').write_text('src,dst,weight\n' + ''.join(
            f'{i},{j},{w:.9g}\n' for i, j, w in self.edges))


def metrics(error):
    """Over origins, all steps up to one, and nodes."""
    mse = (error ** 2).mean()
    return {'mae': np.abs(error).mean(), 'rmse': np.sqrt(mse), 'mse': mse}


def judge_baseline(series, forecast):
    out = {}
    for step in series.steps:
        origins = np.arange(series.test + series.history - 1, len(series.rows) - step)
        error = np.stack([forecast[origins, h] - series.rows[origins + 1 + h] for h in range(step)], axis=1)
        out[step] = metrics(error)
    return out


def run_baselines(series, period):
    """Forecasts from every row, so that each step is judged on the windows that have it."""
    rows, origins = series.rows, np.arange(series.history, len(series.rows))
    known = (rows, series.valid, series.train, origins, series.horizon)
    order = series.history
    methods = {
        'persistence': lambda: b.persistence(*known),
        f'mean of {order}': lambda: b.history_mean(*known, order),
        f'pooled AR({order})': lambda: b.pooled_ar(*known, order),
        'ridge VAR(3)': lambda: b.ridge_var(*known),
        'Holt-Winters' if period else 'Holt': lambda: b.holt_winters(*known, period),
        'ARIMA(3,0,1)': lambda: b.arima(*known),
    }
    for name, method in methods.items():
        whole = np.full((len(rows), series.horizon, rows.shape[1]), np.nan)
        whole[origins] = method()
        yield name, judge_baseline(series, whole)


def program(build, *args, nice=5):
    result = subprocess.run(['nice', '-n', str(nice), str(build / 'examples/cli/stgraph'), *map(str, args)],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f'{args}: {result.stderr}')
    return result.stdout


def judge_model(build, series, folder, model):
    out = {}
    for step in series.steps:
        text = program(build, 'eval', 'forecast', '--model', model, '--series', folder / f'test{step}.csv',
                       '--graph', folder / 'graph.csv', '--null', 'none', '--json')
        found = {}
        for line in text.splitlines():
            line = json.loads(line)
            found[line['metric'], line['horizon']] = line['value']
        mse = np.mean([found['rmse', h] ** 2 for h in range(1, step + 1)])
        out[step] = {'mae': np.mean([found['mae', h] for h in range(1, step + 1)]),
                     'rmse': np.sqrt(mse), 'mse': mse}
    return out


def train(build, series, folder, name, seed, options):
    model = folder / f'{name}-{seed}.stg'
    started = time.monotonic()
    share = (series.train - series.valid) / (series.train - series.history - series.horizon + 1)
    program(build, 'train', '--series', folder / 'train.csv', '--graph', folder / 'graph.csv', '--split',
            f'{1 - share:.6f},{share:.6f},0', '--history', series.history, '--horizon', series.horizon,
            '--out', model, '--seed', seed, *options)
    return judge_model(build, series, folder, model), time.monotonic() - started


def print_row(series, name, results):
    cells = []
    for step in series.steps:
        for what in ('mae', series.squared):
            values = [r[step][what] for r in results]
            cells.append(f'{np.mean(values):.3f}' + (
                f' ({min(values):.3f}..{max(values):.3f})' if len(values) > 1 else ''))
    print(f'| {name} | ' + ' | '.join(cells) + ' |', flush=True)


def run(build, series, seeds, period, quick, only_baselines, models):
    print(f'\n{series.name}: {series.rows.shape[1]} nodes, training rows {series.valid}, validation '
          f'{series.train - series.valid}, test {len(series.rows) - series.test}')
    print('| | ' + ' | '.join(f'MAE {s} | {series.squared.upper()} {s}' for s in series.steps) + ' |')
    print('|---' * (1 + 2 * len(series.steps)) + '|')
    for name, result in run_baselines(series, period) if not models else ():
        print_row(series, name, [result])
    if only_baselines:
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        series.write(folder)
        if models:  # made before, NAME-SEED.stg
            names = sorted({p.stem.rsplit('-', 1)[0] for p in models.glob('*.stg')})
            for name in names:
                files = sorted(models.glob(f'{name}-*.stg'))
                print_row(series, f'{name}, {len(files)} seeds',
                          [judge_model(build, series, folder, f) for f in files])
            return
        for name, options in series.options.items():
            options = options.split() + (['--epochs', '2'] if quick else [])
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                done = list(pool.map(lambda seed: train(build, series, folder, name.replace(' ', '-'), seed,
                                                        options), range(1, seeds + 1)))
            print_row(series, name, [r for r, _ in done])
            print(f'# {" ".join(options)}: {np.mean([t for _, t in done]):.0f} s a seed', file=sys.stderr)


def chickenpox(shared):
    """PyTorch Geometric Temporal's documented protocol: 4 lags, the first fifth trains, the rest is the
    test. The last fifth of the first fifth validates here."""
    data = json.loads((shared / 'data/pygt/chickenpox.json').read_text())
    rows = np.array(data['FX'])
    edges = [(i, j, 1) for i, j in data['edges']]
    windows = int(0.2 * (len(rows) - 4))
    documented = ('--decoder direct_relu --lags 4 --no-time --units 32 --layers 1 --hops 0 --loss mse '
                  '--optimizer adam --rate 0.01 --schedule constant --batch 1000000 --epochs 200 '
                  '--patience 200 --clip 1e9')
    yield Series('Chickenpox', rows, edges, windows + 4, windows + 4 - windows // 5, windows, 4, 1,
                 {'as documented': documented,
                  'with neighbours, K = 1': documented.replace('--hops 0', '--hops 1')}, squared=True), 52


def los(shared):
    """T-GCN's: 12 windows in, four fifths train, windows lie in one part whole; its last one is left out."""
    text = (shared / 'data/traffic/los_speed.csv').read_text().split('\n')[1:]
    rows = np.array([[float(x) for x in line.split(',')] for line in text if line])
    edges = np.loadtxt(shared / 'data/traffic/metr_la_edges.csv', delimiter=',', skiprows=1)
    train = int(len(rows) * 0.8)
    common = ('--layers 1 --epochs 7 --batch 16 --rate 0.01 --schedule cosine --curriculum 0 --loss huber '
              '--delta 0.5')
    yield Series('Los-loop', rows[:-1], [(int(i), int(j), w) for i, j, w in edges], train,
                 train - (train - 16) // 8, train, 12, 12,
                 {'K = 2': f'{common} --units 16', 'K = 0': f'{common} --units 36 --hops 0'}), 288


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build', type=pathlib.Path)
    parser.add_argument('shared', type=pathlib.Path)
    parser.add_argument('what', choices=('chickenpox', 'los'))
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='two epochs: does it run at all')
    parser.add_argument('--baselines', action='store_true', help='nothing else')
    parser.add_argument('--models', type=pathlib.Path,
                        help='judge only these, NAME-SEED.stg: no training, no baselines')
    a = parser.parse_args()
    for series, period in {'chickenpox': chickenpox, 'los': los}[a.what](a.shared):
        run(a.build.resolve(), series, a.seeds, period, a.quick, a.baselines, a.models)


if __name__ == '__main__':
    main()
