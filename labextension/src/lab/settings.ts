/** The reader's trust, from their settings alone, and whom the registry is asked through. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { AskRegistry, checker, DEFAULT_READER, IReader } from '../audit/check';
import { Receipt, RECEIPT_SCHEMA, RegistryPart } from '../receipt/receipt';
import { faultOf, Schema } from '../base/schema';

export const SETTINGS_ID = 'opg-magic:plugin';

/** Settings as they come, with what has another form left at its default. */
export function readSettings(values: Readonly<Record<string, unknown>>): IReader {
  const strings = (value: unknown, form: RegExp): string[] =>
    Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string' && form.test(item)) : [];
  const { policy, askRegistry, pinnedPcrs, simulatedRoots, skewSeconds, explorers, mark, badges } = values;
  const known = typeof explorers === 'object' && explorers !== null ? Object.entries(explorers) : [];
  return {
    policy: typeof policy === 'string' ? policy : DEFAULT_READER.policy,
    askRegistry: askRegistry === true,
    pinnedPcrs: strings(pinnedPcrs, /^0x[0-9a-fA-F]{64}$/).map(hash => hash.toLowerCase()),
    simulatedRoots: strings(simulatedRoots, /^[0-9a-fA-F]{64}$/).map(root => root.toLowerCase()),
    skewSeconds:
      typeof skewSeconds === 'number' && Number.isInteger(skewSeconds) && skewSeconds >= 0 ? skewSeconds : DEFAULT_READER.skewSeconds,
    explorers: Object.fromEntries(known.filter((item): item is [string, string] => /^https:\/\/[^\s@?#]+$/.test(String(item[1])))),
    mark: mark !== false,
    badges: badges !== false
  };
}

/**
 * Asks this Jupyter server, which asks the RPCs in the user's own settings. What is sent are a host's id, a block and a
 * chain's number: no address out of a notebook.
 */
export function registryOfServer(settings: ServerConnection.ISettings): AskRegistry {
  return async (receipt: Receipt): Promise<RegistryPart> => {
    const { registry, host, network } = receipt;
    if (registry === null || host === null) {
      throw new Error('the receipt names no host or no block');
    }
    const query = new URLSearchParams({
      tee_id: host.tee_id.toLowerCase(),
      block: registry.block_number,
      chain_id: String(registry.chain_id),
      ...(network.simulated && network.run_id ? { run_id: network.run_id } : {})
    });
    const url = `${URLExt.join(settings.baseUrl, 'opg-magic', 'registry')}?${query}`;
    const response = await ServerConnection.makeRequest(url, {}, settings);
    if (response.status === 404) {
      throw new Error('this Jupyter server has no opg_magic to ask it');
    }
    const answer: unknown = await response.json().catch(() => null);
    const { registry: part, message, code } = (answer ?? {}) as { registry?: unknown; message?: unknown; code?: unknown };
    if (code === 'rpcs-disagree') {
      // At least one of them lies: that is an answer, and no good one (opg verify judges so too).
      return { ...registry, disagreement: String(message) };
    }
    if (!response.ok || part === undefined) {
      throw new Error(typeof message === 'string' ? message : `the server answered ${response.status}`);
    }
    const { registry: form } = RECEIPT_SCHEMA.properties as Record<string, Schema>;
    if (part === null || faultOf(part, form, RECEIPT_SCHEMA) !== null) {
      throw new Error("the server's answer has another form than expected");
    }
    return part as RegistryPart;
  };
}

export const settingsPlugin: JupyterFrontEndPlugin<void> = {
  id: SETTINGS_ID,
  description: "The reader's trust: pinned code, known simulated networks, policy, whom to ask.",
  autoStart: true,
  optional: [ISettingRegistry],
  activate: (app: JupyterFrontEnd, registry: ISettingRegistry | null): void => {
    checker.setRegistry(registryOfServer(app.serviceManager.serverSettings));
    if (registry === null) {
      return;
    }
    // Not awaited: nothing waits for the settings, and whatever is shown follows them.
    void registry
      .load(SETTINGS_ID)
      .then(settings => {
        const apply = (): void => checker.configure(readSettings(settings.composite as Record<string, unknown>));
        settings.changed.connect(apply);
        apply();
      })
      .catch(reason => console.warn('opg-magic: the settings could not be read; the defaults hold.', reason));
  }
};
