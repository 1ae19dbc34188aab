# SPDX-License-Identifier: Apache-2.0
"""What a forecaster has to beat, on a series [rows, nodes]. Every baseline learns from train, chooses on
the rows from valid on (they are the end of train), and gives for every origin (the last row it has seen)
in origins the next rows: [origins, horizon, nodes]. Rows are those of train and test in one piece."""
import numpy as np


def lags(rows, origins, count):
    """[origins, count, nodes], the youngest first."""
    return np.stack([rows[origins - k] for k in range(count)], axis=1)


def persistence(rows, valid, train, origins, horizon):
    return np.repeat(rows[origins][:, None], horizon, axis=1)


def history_mean(rows, valid, train, origins, horizon, history):
    return np.repeat(lags(rows, origins, history).mean(axis=1)[:, None], horizon, axis=1)


def pooled_ar(rows, valid, train, origins, horizon, order):
    """One set of coefficients for all nodes, least squares, for each step ahead."""
    out = np.empty((len(origins), horizon, rows.shape[1]))
    for h in range(1, horizon + 1):
        seen = np.arange(order - 1, train - h)
        x = lags(rows, seen, order).transpose(0, 2, 1).reshape(-1, order)
        x = np.column_stack([x, np.ones(len(x))])
        w = np.linalg.lstsq(x, rows[seen + h].reshape(-1), rcond=None)[0]
        out[:, h - 1] = np.einsum('okn,k->on', lags(rows, origins, order), w[:-1]) + w[-1]
    return out


def ridge_var(rows, valid, train, origins, horizon, order=3):
    """All nodes' last rows to all nodes; the penalty is the one that is best on the validation rows."""
    def fit(last, penalty, h):
        seen = np.arange(order - 1, last - h)
        x = lags(z, seen, order).reshape(len(seen), -1)
        w = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ z[seen + h])
        return lambda at: lags(z, at, order).reshape(len(at), -1) @ w

    mean, deviation = rows[:train].mean(axis=0), rows[:train].std(axis=0) + 1e-9
    z = (rows - mean) / deviation
    out = np.empty((len(origins), horizon, rows.shape[1]))
    for h in range(1, horizon + 1):
        judged = np.arange(valid - 1, train - h)
        penalty = min(10.0 ** np.arange(0, 6), key=lambda p: np.abs(
            (fit(valid, p, h)(judged) - z[judged + h]) * deviation).mean())
        out[:, h - 1] = fit(train, penalty, h)(origins) * deviation + mean
    return out


def holt_winters(rows, valid, train, origins, horizon, period):
    """Additive, without a trend when that is better, each node's level and season by one set of rates,
    chosen on the validation rows one step ahead; period 0: no season (Holt)."""
    def run(alpha, beta, gamma):
        season = np.zeros((max(period, 1), rows.shape[1]))
        level = rows[:max(period, 1)].mean(axis=0)
        if period:
            season = rows[:period] - level
        trend = np.zeros(rows.shape[1])
        out = np.zeros((len(rows), horizon, rows.shape[1]))
        for t, x in enumerate(rows):
            s = season[t % len(season)]
            before = level
            level = alpha * (x - s) + (1 - alpha) * (level + trend)
            trend = beta * (level - before) + (1 - beta) * trend
            if period:
                season[t % period] = gamma * (x - level) + (1 - gamma) * s
            for h in range(horizon):
                out[t, h] = level + (h + 1) * trend + season[(t + 1 + h) % len(season)]
        return out

    best = None
    judged = np.arange(valid - 1, train - horizon)
    for alpha in (0.3, 0.6, 0.9):
        for beta in (0, 0.05):
            for gamma in (0.05, 0.2) if period else (0,):
                out = run(alpha, beta, gamma)
                error = np.mean([np.abs(out[judged, h] - rows[judged + 1 + h]).mean()
                                 for h in range(horizon)])
                if best is None or error < best[0]:
                    best = error, out
    return best[1][origins]


def arima(rows, valid, train, origins, horizon, order=(3, 0, 1)):
    """Each node by itself: coefficients by statsmodels, maximum likelihood, forecasts by the recursion."""
    from statsmodels.tsa.arima.model import ARIMA
    p, d, q = order
    out = np.empty((len(origins), horizon, rows.shape[1]))
    for i in range(rows.shape[1]):
        mean, z = rows[:train, i].mean(), rows[:, i] - rows[:train, i].mean()
        fitted = ARIMA(z[:train], order=(p, d, q), trend='n').fit(method='innovations_mle')
        ar, ma = fitted.arparams, fitted.maparams
        shock = np.zeros(len(z))
        for t in range(p, len(z)):
            shock[t] = z[t] - ar @ z[t - p:t][::-1] - ma @ shock[t - q:t][::-1]
        past = [z[origins - k] for k in range(p)]
        shocks = [shock[origins - k] for k in range(q)]
        for h in range(horizon):
            now = sum(a * x for a, x in zip(ar, past)) + sum(m * e for m, e in zip(ma, shocks))
            out[:, h, i] = now + mean
            past, shocks = [now] + past[:-1], [np.zeros(len(now))] + shocks[:-1]
    return out
