require 'sinatra'

ROOT = '/srv/pages'

get '/page/:name' do
  content_type 'text/plain'
  path = File.expand_path("#{params[:name]}.txt", ROOT)
  halt 404 unless path.start_with?("#{ROOT}/")
  File.read(path)
end
