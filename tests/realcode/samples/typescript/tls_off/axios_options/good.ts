import axios, { AxiosInstance } from 'axios';
import { readFileSync } from 'fs';
import { Agent, AgentOptions } from 'https';

const options: AgentOptions = { keepAlive: true };
options.ca = readFileSync('ca.pem');

export const client: AxiosInstance = axios.create({ httpsAgent: new Agent(options) });
